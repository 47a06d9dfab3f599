"""Connections to PostgreSQL: a SQLAlchemy engine for units of work, and a plain psycopg pool for single hot statements.

Two pools because one statement through the plain pool costs a third of what it costs through a session, which decides
how many tasks a worker can claim a second; everything else is easier to read as a session.
"""

import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from contactship_common.settings import CoreSettings

_SCHEMES = ("postgres://", "postgresql://", "postgresql+psycopg://")

DATABASE_AWAY: tuple[type[Exception], ...] = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    PoolTimeout,
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.TimeoutError,
    ConnectionError,
)
"""What is raised when PostgreSQL cannot be reached or went away. Includes cancelled statements, deadlocks and lock
timeouts, which psycopg also files under OperationalError: ask `is_database_away` to tell them apart."""


def is_database_away(error: BaseException) -> bool:
    """True when the error means "no server", false when a live server refused or cancelled the statement."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, psycopg.Error) and original.sqlstate is not None:
        # 57P0x: the server is shutting down or starting; 08: connection; 53300: too many connections.
        return original.sqlstate.startswith(("57P", "08", "53"))
    return isinstance(error, DATABASE_AWAY)


def plain_url(url: str) -> str:
    """The URL as libpq wants it: no SQLAlchemy driver, no `schema` parameter."""
    parts = urlsplit(url)
    scheme = parts.scheme.split("+")[0].replace("postgres", "postgresql").replace("postgresqlql", "postgresql")
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if k != "schema"])
    return urlunsplit((scheme, parts.netloc, parts.path, query, parts.fragment))


def check_url(url: str) -> None:
    """Say what is wrong with an address before anything stumbles over it; never repeats it, it holds a password.

    Raises:
        ValueError: it is empty, not of PostgreSQL, or cannot be read.
    """
    if not url:
        raise ValueError("DATABASE_URL (or POSTGRES_HOST) is not set")
    if not url.startswith(_SCHEMES):
        raise ValueError("DATABASE_URL must start with postgresql:// (or postgres://, postgresql+psycopg://)")
    try:
        conninfo_to_dict(plain_url(url))
        sa.make_url(alchemy_url(url))
    except (ValueError, psycopg.ProgrammingError, sa.exc.ArgumentError):
        raise ValueError("DATABASE_URL cannot be read; is a character of the password not percent-encoded?") from None


def schema_of(url: str) -> str | None:
    """The `?schema=` of the URL, if it has one."""
    return dict(parse_qsl(urlsplit(url).query)).get("schema")


def search_path_option(schema: str) -> str:
    """libpq's option that makes this schema the only one searched, whatever characters its name has."""
    quoted = '"' + schema.replace('"', '""') + '"'
    return "-c search_path=" + quoted.replace("\\", "\\\\").replace(" ", "\\ ")


def alchemy_url(url: str) -> str:
    """The URL as SQLAlchemy wants it for psycopg 3."""
    return "postgresql+psycopg" + plain_url(url).removeprefix("postgresql")


def connect_arguments(settings: CoreSettings) -> dict[str, Any]:
    """libpq and psycopg parameters that hold for every connection of a process.

    Raises:
        ValueError: a schema is asked for behind a transaction pooler, which keeps no session state.
    """
    arguments: dict[str, Any] = {"connect_timeout": 5, "application_name": "contactship"}
    schema = schema_of(settings.database_url)
    if settings.db_pooler:
        if schema:
            raise ValueError("DATABASE_URL: with DB_POOLER=true set search_path on the database role, not by ?schema=")
        arguments["prepare_threshold"] = None
        return arguments
    options = ["-c timezone=UTC", "-c idle_in_transaction_session_timeout=60000"]
    if schema:
        options.append(search_path_option(schema))
    arguments["options"] = " ".join(options)
    # A dead peer (a failed-over server, a lost network) is noticed in half a minute instead of two hours.
    arguments |= {"keepalives": 1, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
    return arguments


class FastPool(AsyncConnectionPool["psycopg.AsyncConnection[dict[str, Any]]"]):
    """Never hands out a connection that the server has closed while it was idle, as a restart of PostgreSQL does to all
    of them: whoever got one would fail with a statement of which nobody knows whether it was executed."""

    async def getconn(self, timeout: float | None = None) -> "psycopg.AsyncConnection[dict[str, Any]]":
        while _is_cut(connection := await super().getconn(timeout)):
            await connection.close()
            await self.putconn(connection)
        return connection


def _is_cut(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Nobody has asked it anything: if there is something to read, it is the server's last word. Costs 2 µs."""
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN)
    return bool(look.poll(0))


CLAIM_POOL_SIZE = 2
"""Connections of a worker for claims and leases: neither waits behind hundreds of results that are being written."""


class Database:
    """The pools of a process. Open it inside the running event loop, close it at the end.

    `engine` and `sessions` are for units of work, `fast` for single hot statements, `claims` for a worker's claims and
    leases (no other process connects it).
    """

    def __init__(self, settings: CoreSettings) -> None:
        check_url(settings.database_url)
        arguments = connect_arguments(settings)
        self.engine: AsyncEngine = create_async_engine(
            alchemy_url(settings.database_url),
            pool_size=settings.db_pool_size,
            max_overflow=0,
            pool_timeout=settings.db_pool_timeout,
            pool_recycle=1_800,
            connect_args=arguments,
            # An error must not carry the row it failed on into a log.
            hide_parameters=True,
        )
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False, autoflush=False)

        # A prepared statement keeps its plan. One made while `tasks` was nearly empty would read all of it for each
        # slot that it looks for, until the next ANALYZE: minutes into a storm of tasks. Where there is no other way, up
        # to PostgreSQL 17 reading all looks so expensive then that the plan would be compiled each time.
        by_index = (
            {"options": arguments["options"] + " -c enable_seqscan=off -c jit=off"} if "options" in arguments else {}
        )

        def fast_pool(at_least: int, at_most: int) -> FastPool:
            return FastPool(
                plain_url(settings.database_url),
                kwargs={**arguments, **by_index, "autocommit": True, "row_factory": dict_row},
                min_size=at_least,
                max_size=at_most,
                timeout=settings.db_pool_timeout,
                reconnect_timeout=10,
                open=False,
            )

        self.fast = fast_pool(1, settings.db_fast_pool_size)
        self.claims = fast_pool(0, CLAIM_POOL_SIZE)

    async def open(self) -> None:
        """Start the pools; returns at once, also while PostgreSQL is away."""
        await self.fast.open(wait=False)
        await self.claims.open(wait=False)

    async def close(self) -> None:
        await self.fast.close(timeout=2)
        await self.claims.close(timeout=2)
        await self.engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session for reads outside a unit of work; its transaction is rolled back at the end."""
        async with self.sessions() as session:
            yield session
