"""Local vendor servers and engines on them."""

from collections.abc import AsyncIterator, Iterator

import pytest
from vendors.ai_bench import Benches
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer


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
