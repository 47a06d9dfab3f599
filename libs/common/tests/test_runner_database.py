"""A database that goes away in the middle of a run: paid work is recorded once and not repeated."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from common_testkit import Engine, Fake, Gate, Plain, until
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.template import migrated_database


@pytest.fixture
async def on_own_server(own_postgres: PostgresServer, redis_url: str) -> AsyncIterator[Engine]:
    """An engine on a server that the test may restart; every look at a row makes a connection of its own."""
    url = migrated_database(own_postgres)

    async def sql(statement: str, *parameters: Any) -> list[dict[str, Any]]:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as connection:
            cursor = await connection.execute(statement, parameters)  # type: ignore[arg-type]
            return await cursor.fetchall() if cursor.description else []

    settings = CoreSettings(database_url=url, redis_url=redis_url, task_backoff=0.01, db_pool_timeout=0.5)
    runtime = Runtime(settings, AISettings(ai_providers=("local",)))
    await runtime.open()
    yield Engine(runtime, sql)
    await runtime.close()


async def test_a_database_restarted_after_the_work_gets_the_result_once_and_the_work_is_not_repeated(
    on_own_server: Engine, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = on_own_server
    gate = Gate()
    engine.handlers[Plain.KIND] = handler = Fake(gate.work)
    task_id = await engine.enqueue(Plain())
    running = asyncio.create_task(engine.runner.run(task_id))
    await gate.began.wait()
    await asyncio.to_thread(own_postgres.stop)
    gate.go_on.set()
    retries = 0

    async def sleep(_: float) -> None:
        nonlocal retries
        retries += 1
        await asyncio.to_thread(own_postgres.start)

    monkeypatch.setattr("contactship_common.tasks.settle.asyncio.sleep", sleep)
    await running
    monkeypatch.undo()
    assert retries >= 1
    row = await engine.row(task_id)
    assert (row["status"], row["run_no"], handler.steps.work) == ("succeeded", 1, 1)
    assert await engine.notes("recorded") == 1
    assert await engine.calls() == 1


async def test_a_commit_whose_answer_was_lost_is_not_repeated(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from contactship_common.uow import UnitOfWork

    commit = UnitOfWork.commit
    lost = False

    async def lose_the_answer(uow: UnitOfWork) -> None:
        nonlocal lost
        await commit(uow)
        if not lost:
            lost = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    gate = Gate()
    gate.go_on.set()
    engine.handlers[Plain.KIND] = handler = Fake(gate.work)
    task_id = await engine.enqueue(Plain(name="x"))
    monkeypatch.setattr(UnitOfWork, "commit", lose_the_answer)
    await engine.runner.run(task_id)
    assert lost
    assert (await engine.row(task_id))["status"] == "succeeded"
    assert handler.steps.work == 1
    assert await engine.notes("recorded") == 1
    assert await engine.calls() == 1


async def test_a_database_away_while_loading_costs_no_attempt(
    on_own_server: Engine, own_postgres: PostgresServer
) -> None:
    engine = on_own_server

    async def load(session: Any, *_: Any) -> str:
        from sqlalchemy import text

        if handler.steps.load == 1:
            await asyncio.to_thread(own_postgres.restart)
            connection = await session.connection()
            await connection.execute(text("SELECT 1"))
        return "loaded"

    engine.handlers[Plain.KIND] = handler = Fake(load=load)
    task_id = await engine.enqueue(Plain())

    async def warm(session: Any) -> None:
        from sqlalchemy import text

        await session.execute(text("SELECT 1"))

    async with engine.runtime.db.sessions() as session:  # the pool now holds a connection that the restart breaks
        await warm(session)
    await engine.runner.run(task_id)
    row = await engine.row(task_id)
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 0, "database_away")

    async def ran() -> bool:  # the first claim may meet another connection that the restart broke
        return (await engine.run(task_id))["status"] == "succeeded"

    await until(ran, "a claim after the restart")


@pytest.mark.parametrize("name", ["claims", "fast"])
async def test_each_pool_recovers_from_an_outage_that_is_longer_than_its_own_patience(
    on_own_server: Engine, own_postgres: PostgresServer, name: str
) -> None:
    engine = on_own_server
    engine.handlers[Plain.KIND] = Fake()
    task_id = await engine.enqueue(Plain())
    pool = getattr(engine.runtime.db, name)
    async with pool.connection():
        pass  # so that it has one to lose
    pool.reconnect_timeout = 0.2
    gave_up = asyncio.Event()
    pool._reconnect_failed = lambda _: gave_up.set()
    await asyncio.to_thread(own_postgres.stop)
    await engine.runner.run(task_id)  # finds its connection broken, says so and goes on

    async def tried_in_vain() -> bool:
        await engine.runner.run(task_id)
        if name == "fast":
            with pytest.raises(PoolTimeout):
                await pool.getconn(timeout=0.1)
        return gave_up.is_set()

    await until(tried_in_vain, "the pool to give up")
    await asyncio.to_thread(own_postgres.start)

    async def ran() -> bool:
        return (await engine.run(task_id))["status"] == "succeeded"

    await until(ran, "a claim after the outage")


async def test_what_is_prepared_while_there_are_no_tasks_does_not_read_all_of_them_later(engine: Engine) -> None:
    async with engine.runtime.db.fast.connection() as connection:
        await connection.execute("VACUUM ANALYZE tasks")
        explained = await connection.execute("EXPLAIN SELECT FROM tasks WHERE slot = 'lead.summary:1'")
        plan = "\n".join(row["QUERY PLAN"] for row in await explained.fetchall())
    assert "Seq Scan" not in plan, plan
