"""Pytest fixtures on a real PostgreSQL and a real Valkey. Registered once, by the `conftest.py` at the root.

    database_url        a migrated database for each test alone, empty at its start
    empty_database_url  a fresh database without any table
    sql                 one statement on a connection of its own to `database_url`, committed at once; its rows
    redis_url           an empty Valkey; one server for each pytest process
    postgres_url        administrator's address of the server (database `postgres`), one for the session
    valkey              the server behind `redis_url`, to stop, freeze and restart
    own_postgres        a PostgreSQL server of this test alone, to stop and restart
    make_stack          starts real Contactship processes on servers of their own, see `contactship_devstack.stack`

URLs are plain `postgresql://` and `redis://` strings. Nothing outlives pytest, however it ends.
"""

import logging
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pluggy
import psycopg
import pytest
import structlog
from psycopg.rows import dict_row

from contactship_devstack import postgres
from contactship_devstack import valkey as valkey_server
from contactship_devstack.clean_databases import CleanDatabases
from contactship_devstack.fork import fork
from contactship_devstack.guard import Guard
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.processes import Fork
from contactship_devstack.stack import Stack
from contactship_devstack.template import SHARED_POSTGRES, TemplateDatabase, migrated_database, on_server
from contactship_devstack.valkey import ValkeyServer


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """What is called in a test may set up logging, as a command does for its whole process."""
    root, configured = logging.getLogger(), structlog.get_config()
    handlers, level = [*root.handlers], root.level
    yield
    structlog.configure(**configured)
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def process_guard() -> Iterator[Guard]:
    """Ends what this pytest process started, should it be killed."""
    guard = Guard()
    yield guard
    guard.close()


@pytest.fixture(scope="session")
def postgres_url(process_guard: Guard) -> Iterator[str]:
    if shared := os.environ.get(SHARED_POSTGRES):
        yield shared
        return
    with postgres.temporary_server(process_guard) as server:
        yield server.admin_url


@pytest.fixture(scope="session")
def postgres_admin(postgres_url: str) -> Iterator[psycopg.Connection]:
    """The administrator's connection that makes and drops databases, in autocommit mode."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template_database(postgres_admin: psycopg.Connection, postgres_url: str) -> TemplateDatabase:
    """The migrated database that tests clone: made once for each version of the schema and server."""
    return TemplateDatabase.ensure(postgres_admin, postgres_url)


@contextmanager
def _databases(admin: psycopg.Connection, admin_url: str) -> Iterator[Callable[[str], str]]:
    """A function that makes databases from a template's name; they are dropped at the end."""
    names: list[str] = []

    def make(template: str) -> str:
        name = f"test_{uuid.uuid4().hex[:20]}"
        names.append(name)
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return on_server(admin_url, name)

    yield make
    for name in names:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def make_database(postgres_admin: psycopg.Connection, postgres_url: str) -> Iterator[Callable[[str], str]]:
    """A function that makes one more database from a template's name and returns its address."""
    with _databases(postgres_admin, postgres_url) as make:
        yield make


@pytest.fixture(scope="session")
def _clean_databases(
    postgres_admin: psycopg.Connection, postgres_url: str, template_database: TemplateDatabase
) -> Iterator[CleanDatabases]:
    databases = CleanDatabases(postgres_admin, postgres_url, template_database)
    yield databases
    databases.close()


@pytest.fixture
def database_url(_clean_databases: CleanDatabases) -> Iterator[str]:
    url = _clean_databases.take()
    yield url
    _clean_databases.give_back(url)


Sql = Callable[..., Awaitable[list[dict[str, Any]]]]
"""The fixture `sql`: `await sql("SELECT … WHERE id = %s", lead_id)`."""


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[Sql]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, row_factory=dict_row) as connection:

        async def run(statement: str, *parameters: Any) -> list[dict[str, Any]]:
            cursor = await connection.execute(statement.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def empty_database_url(make_database: Callable[[str], str]) -> str:
    return make_database("template0")


@pytest.fixture(scope="session")
def _valkey_of_session(process_guard: Guard) -> Iterator[ValkeyServer]:
    with valkey_server.temporary_server(process_guard) as server:
        yield server


@pytest.fixture
def valkey(_valkey_of_session: ValkeyServer) -> Iterator[ValkeyServer]:
    """Empty and running at the start of each test, whatever the test before did to it."""
    _valkey_of_session.thaw()
    _valkey_of_session.start()
    _valkey_of_session.flush()
    yield _valkey_of_session
    _valkey_of_session.thaw()


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    return valkey.url


@pytest.fixture
def own_postgres(process_guard: Guard) -> Iterator[PostgresServer]:
    """Takes half a second; for tests that stop the server or look at all its sessions."""
    with postgres.temporary_server(process_guard) as server:
        yield server


class StackFactory(Protocol):
    def __call__(
        self, *kinds: str, env: dict[str, str] | None = None, own_postgres: bool = False, **counts: int
    ) -> Stack:
        """Start these processes and wait until they are ready: `make_stack("api", "scheduler", ai_worker=2)`.

        Without any name nothing is started; `stack.start(...)` adds processes at any time. The stack has a Valkey and
        a database of its own; with `own_postgres` also the server, so that a test may restart it.
        """


@pytest.fixture(scope="session")
def start_by() -> Fork | None:
    """How stacks start their processes: by forking, unless each must be an interpreter of its own to be measured."""
    return None if "COVERAGE_PROCESS_START" in os.environ else fork


@pytest.fixture
def make_stack(
    request: pytest.FixtureRequest, process_guard: Guard, start_by: Fork | None, tmp_path: Path
) -> Iterator[StackFactory]:
    """Stacks that are stopped after the test; if it failed, the last lines of their logs are in the report."""
    with ExitStack() as cleanup:
        stacks: list[Stack] = []

        def make(*kinds: str, env: dict[str, str] | None = None, own_postgres: bool = False, **counts: int) -> Stack:
            valkey = cleanup.enter_context(valkey_server.temporary_server(process_guard))
            server: PostgresServer | None = None
            if own_postgres:
                server = cleanup.enter_context(postgres.temporary_server(process_guard))
                url = migrated_database(server)
            else:
                # Not by the fixture `make_database`: asked for here, it would be gone before these processes are.
                admin, admin_url = request.getfixturevalue("postgres_admin"), request.getfixturevalue("postgres_url")
                make_database = cleanup.enter_context(_databases(admin, admin_url))
                url = make_database(request.getfixturevalue("template_database").name)
            folder = tmp_path / f"stack-{len(stacks) + 1}"
            folder.mkdir()
            stack = Stack(
                database_url=url,
                redis_url=valkey.url,
                folder=folder,
                env=env,
                postgres=server,
                valkey=valkey,
                guard=process_guard,
                fork=start_by,
            )
            stacks.append(stack)
            cleanup.enter_context(stack)
            if kinds or counts:
                stack.start(*kinds, env=None, wait=True, **counts)
            return stack

        yield make
        if getattr(request.node, _FAILED, False):
            for stack in stacks:
                print(stack.tail())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a parallel run, let files with tests marked `system`, which mostly wait, and files that compute take turns:
    two of a kind at once would leave the processors idle, or keep each other waiting."""
    if not hasattr(config, "workerinput"):
        return
    files = dict.fromkeys(item.path for item in items)
    waiting = dict.fromkeys(item.path for item in items if item.get_closest_marker("system"))
    computing = [path for path in files if path not in waiting]
    place = {path: at / len(group) for group in (list(waiting), computing) for at, path in enumerate(group)}
    items.sort(key=lambda item: place[item.path])


_FAILED = "contactship_failed"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Tell fixtures whether their test failed."""
    outcome = yield
    if outcome.get_result().when == "call" and outcome.get_result().failed:
        setattr(item, _FAILED, True)
