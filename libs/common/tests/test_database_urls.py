"""Every form of DATABASE_URL, and the migrations it leads to."""

import subprocess
import sys
import threading
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from common_testkit import Plain

from contactship_common.db import (
    Database,
    alchemy_url,
    connect_arguments,
    is_database_away,
    plain_url,
    schema_of,
)
from contactship_common.migrate import alembic_config, upgrade
from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings
from contactship_common.uow import unit_of_work
from contactship_devstack import fork


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_every_spelling_of_the_scheme_means_psycopg(scheme: str) -> None:
    url = f"{scheme}://user:p%40ss@db.example:5433/crm?sslmode=require&schema=sales"
    assert plain_url(url) == "postgresql://user:p%40ss@db.example:5433/crm?sslmode=require"
    assert alchemy_url(url) == "postgresql+psycopg://user:p%40ss@db.example:5433/crm?sslmode=require"
    assert schema_of(url) == "sales"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg"])
async def test_both_pools_connect_with_every_spelling(database_url: str, scheme: str) -> None:
    url = database_url.replace("postgresql", scheme) + "&sslmode=prefer"
    database = Database(CoreSettings(database_url=url))
    await database.open()
    async with database.reading() as session:
        assert (await session.execute(sa.text("SELECT current_setting('TimeZone')"))).scalar() == "UTC"
    async with database.fast.connection() as connection:
        assert await (await connection.execute("SELECT 1 AS one")).fetchone() == {"one": 1}
    await database.close()


def tables(url: str) -> dict[str, int]:
    with psycopg.connect(plain_url(url)) as connection:
        rows = connection.execute(
            "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname !~ '^(pg_|information)' GROUP BY 1"
        )
        return dict(rows.fetchall())


@pytest.mark.parametrize("schema", ["sales", "Sales%20Team"])
async def test_a_schema_in_the_url_holds_all_tables_and_is_where_they_are_found(
    empty_database_url: str, redis_url: str, schema: str
) -> None:
    url = f"{empty_database_url}&schema={schema}"
    upgrade(url)
    upgrade(url)
    assert tables(url).keys() == {schema.replace("%20", " ")}
    runtime = Runtime(CoreSettings(database_url=url, redis_url=redis_url), AISettings())
    await runtime.open()
    async with unit_of_work(runtime) as uow:
        ref = uow.enqueue(Plain())
    async with runtime.db.fast.connection() as connection:
        row = await (await connection.execute("SELECT id FROM tasks")).fetchone()
    assert row == {"id": ref.id}
    await runtime.close()


async def test_behind_a_transaction_pooler_there_is_no_session_state(database_url: str) -> None:
    settings = CoreSettings(database_url=database_url, db_pooler=True)
    arguments = connect_arguments(settings)
    assert arguments["prepare_threshold"] is None
    assert "options" not in arguments
    database = Database(settings)
    await database.open()
    for _ in range(10):  # psycopg prepares what it sees five times, unless told not to
        async with database.fast.connection() as connection:
            await connection.execute("SELECT 1")
        async with database.reading() as session:
            await session.execute(sa.text("SELECT 1"))
    async with database.fast.connection() as connection:
        rows = await (await connection.execute("SELECT count(*) AS n FROM pg_prepared_statements")).fetchone()
    assert rows == {"n": 0}
    await database.close()


def test_a_schema_behind_a_pooler_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match="set search_path on the database role"):
        connect_arguments(CoreSettings(database_url="postgresql://db/crm?schema=sales", db_pooler=True))


@pytest.mark.parametrize("suffix", ["", "&schema=sales"])
def test_two_migrations_at_once_are_one(empty_database_url: str, suffix: str) -> None:
    errors: list[Exception] = []
    start = threading.Barrier(3)

    def migrate() -> None:
        start.wait()
        try:
            upgrade(empty_database_url + suffix)
        except Exception as error:
            errors.append(error)

    # Alembic's own context is a global of the process, so parallel ones are processes.
    code = f"from contactship_common.migrate import upgrade; upgrade({empty_database_url + suffix!r})"

    def migrate_in_a_process() -> None:
        start.wait()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if done.returncode:
            errors.append(RuntimeError(done.stderr))

    threads = [threading.Thread(target=target) for target in (migrate, migrate_in_a_process, migrate_in_a_process)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(tables(empty_database_url)) == 1


def test_models_and_migrations_agree(database_url: str) -> None:
    command.check(alembic_config(database_url))


def test_down_to_nothing_and_up_again(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    before = tables(empty_database_url)
    command.downgrade(alembic_config(empty_database_url), "base")
    assert tables(empty_database_url) == {"public": 1}, "only Alembic's own table is left"
    upgrade(empty_database_url)
    assert tables(empty_database_url) == before


def migrate_command(**environment: str) -> "subprocess.CompletedProcess[str]":
    return fork.run("contactship-migrate", env=environment)


def test_the_command_migrates_and_says_so(empty_database_url: str) -> None:
    done = migrate_command(DATABASE_URL=empty_database_url)
    assert (done.returncode, done.stdout) == (0, "contactship-migrate: the database is up to date\n")


@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, "DATABASE_URL"), ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "Connection refused")],
)
def test_the_command_says_in_one_line_why_it_cannot(environment: dict[str, str], told: str) -> None:
    done = migrate_command(**environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("contactship-migrate: ")
    assert told in done.stderr


@pytest.mark.parametrize(
    ("statement", "away"),
    [("SELECT pg_terminate_backend(pg_backend_pid())", True), ("SET statement_timeout = 1; SELECT pg_sleep(5)", False)],
)
def test_a_server_that_refuses_is_told_from_one_that_is_away(database_url: str, statement: Any, away: bool) -> None:
    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.OperationalError) as caught:
        connection.execute(statement)
    assert is_database_away(caught.value) is away
