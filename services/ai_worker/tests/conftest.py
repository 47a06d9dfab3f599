"""Local vendor servers and engines on them."""

from collections.abc import AsyncIterator, Iterator

import pytest
from classify_testkit import Desk, open_desk
from handler_testkit import Handlers
from vendors.ai_bench import Benches
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer

from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings


@pytest.fixture(scope="session")
def _servers() -> Iterator[tuple[OpenAIServer, GeminiServer]]:
    with OpenAIServer() as openai, GeminiServer() as gemini:
        yield openai, gemini


@pytest.fixture
def openai_vendor(_servers: tuple[OpenAIServer, GeminiServer]) -> OpenAIServer:
    _servers[0].reset()
    return _servers[0]


@pytest.fixture
def gemini_vendor(_servers: tuple[OpenAIServer, GeminiServer]) -> GeminiServer:
    _servers[1].reset()
    return _servers[1]


@pytest.fixture
async def bench(openai_vendor: OpenAIServer, gemini_vendor: GeminiServer) -> AsyncIterator[Benches]:
    made = Benches(openai_vendor, gemini_vendor)
    yield made
    await made.aclose()


@pytest.fixture
async def handlers(database_url: str, redis_url: str) -> AsyncIterator[Handlers]:
    core = CoreSettings(database_url=database_url, redis_url=redis_url, task_backoff=0.01)
    runtime = Runtime(core, AISettings(ai_providers=("local",), ai_max_retries=2))
    await runtime.open()
    async with await Handlers.connect(database_url) as connection:
        yield Handlers(runtime, connection)
    await runtime.close()


@pytest.fixture(params=["openai", "gemini"])
async def desk(
    request: pytest.FixtureRequest, handlers: Handlers, openai_vendor: OpenAIServer, gemini_vendor: GeminiServer
) -> AsyncIterator[Desk]:
    async with open_desk(request.param, handlers, openai_vendor, gemini_vendor) as made:
        yield made
