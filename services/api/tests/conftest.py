"""Fixtures of the gateway's tests. Helpers are in `api_testkit`, beside this file.

shared_api   one application for all tests that look at single answers only
module_api   one application for a file of tests that do not look at what another of them changes
api          the application in this process, on this test's database and Valkey, called with the root key
make_api     the same with settings given by field name: `await make_api(rate_limit_max=3)`
sql          one statement on a connection of its own, committed at once
"""

import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from argon2 import PasswordHasher

sys.path.insert(0, str(Path(__file__).parent))

from api_testkit import Api, MakeApi, open_api  # needs the path above

from contactship_common import passwords
from contactship_devstack.template import TemplateDatabase, on_server
from contactship_devstack.valkey import ValkeyServer


def pytest_make_parametrize_id(val: object) -> str:
    """Short names for tests, however long or strange their parameter."""
    return ascii(val)[:40]


@pytest.fixture(autouse=True, scope="session")
def plain_logs() -> None:
    """One line an event; the default draws the locals of every frame of a traceback."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    )


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """The real algorithm with small parameters; at full strength each login takes 64 MiB and a tenth of a second."""
    strong, passwords._hasher = passwords._hasher, PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    passwords._nobody.cache_clear()
    yield
    passwords._hasher = strong


@pytest.fixture
async def make_api(database_url: str, redis_url: str) -> AsyncIterator[MakeApi]:
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Api:
            chosen = {"database_url": database_url, "redis_url": redis_url} | settings
            return await stack.enter_async_context(open_api(**chosen))

        yield make


@pytest.fixture
async def api(make_api: MakeApi) -> Api:
    return await make_api()


@asynccontextmanager
async def _application(
    admin: psycopg.Connection, server_url: str, template: TemplateDatabase, valkey: ValkeyServer
) -> AsyncIterator[Api]:
    """One application with a database of its own, for many tests."""
    name = f"test_shared_{uuid.uuid4().hex[:16]}"
    admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template.name}"'.encode())
    async with open_api(database_url=on_server(server_url, name), redis_url=valkey.url) as api:
        yield api
    admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@pytest.fixture(scope="session")
async def shared_api(
    postgres_admin: psycopg.Connection,
    postgres_url: str,
    template_database: TemplateDatabase,
    _valkey_of_session: ValkeyServer,
) -> AsyncIterator[Api]:
    """One application for the whole run, for tests that look at single answers only: starting one takes longer than
    most of them."""
    async with _application(postgres_admin, postgres_url, template_database, _valkey_of_session) as api:
        yield api


@pytest.fixture(scope="module")
async def module_api(
    postgres_admin: psycopg.Connection,
    postgres_url: str,
    template_database: TemplateDatabase,
    _valkey_of_session: ValkeyServer,
) -> AsyncIterator[Api]:
    """One application for a file of tests that change something, but nothing that another of them looks at."""
    async with _application(postgres_admin, postgres_url, template_database, _valkey_of_session) as api:
        yield api
