"""Fixtures of the library's own tests. Kinds, handlers and helpers are in `common_testkit`, beside this file."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from common_testkit import KINDS, Engine  # needs the path above

from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings
from contactship_common.tasks import catalog
from contactship_devstack.testing import Sql

MakeRuntime = Callable[..., Awaitable[Runtime]]


@pytest.fixture(autouse=True)
def test_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog knows the kinds of these tests, besides the real ones."""
    for name, kind in KINDS.items():
        monkeypatch.setitem(catalog.KINDS, name, kind)


@pytest.fixture
async def make_runtime(database_url: str, redis_url: str) -> AsyncIterator[MakeRuntime]:
    """Opens runtimes on this test's database and Valkey; settings are given by field name."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Runtime:
            chosen = {"database_url": database_url, "redis_url": redis_url, "task_backoff": 0.01} | settings
            runtime = Runtime(CoreSettings(**chosen), AISettings(ai_providers=("local",)))
            await runtime.open()
            stack.push_async_callback(runtime.close)
            return runtime

        yield make


@pytest.fixture
async def runtime(make_runtime: MakeRuntime) -> Runtime:
    return await make_runtime()


@pytest.fixture
async def engine(runtime: Runtime, sql: Sql) -> Engine:
    return Engine(runtime, sql)
