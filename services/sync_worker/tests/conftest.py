"""Fixtures of the sync worker's tests. Helpers are in `sync_testkit`, beside this file."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sync_testkit import Syncs  # needs the path above
from vendors.randomuser_server import RandomUserServer

from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings
from contactship_devstack.testing import Sql


@pytest.fixture(scope="session")
def _vendor_of_session() -> Iterator[RandomUserServer]:
    with RandomUserServer() as server:
        yield server


@pytest.fixture
def vendor(_vendor_of_session: RandomUserServer) -> RandomUserServer:
    """A lead source on 127.0.0.1 with every trouble a source can make."""
    _vendor_of_session.forget()
    return _vendor_of_session


@pytest.fixture
async def runtime(database_url: str, redis_url: str) -> AsyncIterator[Runtime]:
    core = CoreSettings(database_url=database_url, redis_url=redis_url, task_backoff=0.01, task_max_attempts=3)
    runtime = Runtime(core, AISettings(ai_providers=("local",)))
    await runtime.open()
    yield runtime
    await runtime.close()


@pytest.fixture
async def syncs(runtime: Runtime, sql: Sql) -> AsyncIterator[Syncs]:
    async with AsyncExitStack() as stack:
        yield Syncs(runtime, sql, stack)
