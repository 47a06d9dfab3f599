"""One stage for all faults of a file; its LENGTH says how long things take."""

from collections.abc import Iterator

import psycopg
import pytest
from chaos_testkit import FULL, SHORT, Length, Row, Stage, Vendors, render
from chaos_testkit.stage import PROCESSES

from contactship_common.db import plain_url
from contactship_devstack import postgres
from contactship_devstack import valkey as valkey_server
from contactship_devstack.guard import Guard
from contactship_devstack.processes import Fork
from contactship_devstack.stack import Stack
from contactship_devstack.template import migrated_database


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest,
    process_guard: Guard,
    tmp_path_factory: pytest.TempPathFactory,
    start_by: Fork | None,
) -> Iterator[Stage]:
    length: Length = getattr(request.module, "LENGTH", FULL)
    with (
        Vendors().running() as vendors,
        postgres.temporary_server(process_guard) as server,
        valkey_server.temporary_server(process_guard) as valkey,
        Stack(
            database_url=migrated_database(server),
            redis_url=valkey.url,
            folder=tmp_path_factory.mktemp("stack"),
            env=length.env | vendors.environment,
            postgres=server,
            valkey=valkey,
            guard=process_guard,
            # At full length processes start as they do in production, which a wrong clock needs, too.
            fork=start_by if length is SHORT else None,
        ) as stack,
    ):
        # The test server does not wait for the disk at a commit, which a crash would show.
        with psycopg.connect(plain_url(stack.database_url), autocommit=True) as connection:
            connection.execute("ALTER DATABASE contactship SET synchronous_commit = on")
        stack.start(*PROCESSES)
        stage = Stage(stack, vendors, length)
        yield stage
        stage.close()


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    """Rows of the faults that were endured, printed at the end also where one failed."""
    rows: list[Row] = []
    yield rows
    print(f"\n\n{render(rows)}\n")
