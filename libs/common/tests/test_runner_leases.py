"""Leases, fencing, shutdown and a database that goes away in the middle of a run."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from common_testkit import Engine, Fake, Plain, until
from psycopg.rows import dict_row

from contactship_common.models import AICall
from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings
from contactship_common.tasks import journal
from contactship_common.tasks.outcomes import Permanent, Transient
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.template import migrated_database

CALL: dict[str, Any] = {
    "kind": "test",
    "provider": "local",
    "model": "m",
    "prompt": "p",
    "prompt_version": "1",
    "outcome": "success",
}


class Gate:
    """Work that tells when it began and waits until it is let go; `cancelled` if it was stopped instead."""

    def __init__(self) -> None:
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def work(self, *_: Any) -> str:
        journal.keep(AICall(**CALL))
        self.began.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "worked"


async def calls(engine: Engine) -> int:
    return int((await engine.sql("SELECT count(*) AS n FROM ai_calls"))[0]["n"])


@pytest.mark.parametrize(
    ("error", "status"), [(None, "succeeded"), (Permanent("refused", "no"), "failed"), (Transient("t", "t"), "queued")]
)
async def test_the_journal_is_kept_however_the_run_ends(engine: Engine, error: Exception | None, status: str) -> None:
    async def work(*_: Any) -> None:
        journal.keep(AICall(**CALL))
        if error:
            raise error

    row = await engine.do(Plain(), Fake(work))
    assert row["status"] == status
    assert await calls(engine) == 1


def test_a_journal_row_outside_a_run_is_refused() -> None:
    with pytest.raises(LookupError):
        journal.keep(AICall(**CALL))


async def test_a_run_that_lost_its_lease_in_mid_work_is_cancelled_and_writes_its_journal_only(
    make_runtime: Any, sql: Any
) -> None:
    engine = Engine(await make_runtime(task_lease=0.15), sql)
    gate = Gate()
    engine.handlers[Plain.KIND] = Fake(gate.work)
    task_id = await engine.enqueue(Plain())
    running = asyncio.create_task(engine.runner.run(task_id))
    await gate.began.wait()
    await engine.expire(task_id)
    newer = await engine.claim(task_id)
    renewing = asyncio.create_task(engine.runner.renew_leases())
    await running
    renewing.cancel()
    assert gate.cancelled
    row = await engine.row(task_id)
    assert (row["status"], row["run_no"], row["lease_owner"]) == ("running", newer.run_no, "somebody-else")
    assert await engine.notes("recorded") == 0
    assert await calls(engine) == 1


async def test_a_stale_run_that_finishes_unaware_changes_nothing(engine: Engine) -> None:
    gate = Gate()
    engine.handlers[Plain.KIND] = Fake(gate.work)
    task_id = await engine.enqueue(Plain())
    running = asyncio.create_task(engine.runner.run(task_id))
    await gate.began.wait()
    await engine.expire(task_id)
    await engine.claim(task_id)
    before = await engine.row(task_id)
    gate.go_on.set()
    await running
    assert await engine.row(task_id) == before
    assert await engine.notes("recorded") == 0
    assert await calls(engine) == 1


async def test_renewal_keeps_a_task_that_takes_many_leases(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(task_lease=0.3), sql)
    gate = Gate()
    engine.handlers[Plain.KIND] = Fake(gate.work)
    task_id = await engine.enqueue(Plain())
    running = asyncio.create_task(engine.runner.run(task_id))
    renewing = asyncio.create_task(engine.runner.renew_leases())
    await gate.began.wait()
    ends = set()

    async def renewed_often() -> bool:
        ends.add((await engine.row(task_id))["lease_until"])
        return len(ends) > 6

    await until(renewed_often, "six renewals")
    gate.go_on.set()
    await running
    renewing.cancel()
    row = await engine.row(task_id)
    assert (row["status"], row["run_no"], row["failures"]) == ("succeeded", 1, 0)


async def test_two_runs_of_one_task_in_one_process_are_renewed_and_fenced_apart(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(task_lease=0.3), sql)
    old, new = Gate(), Gate()
    engine.handlers[Plain.KIND] = Fake(old.work)
    task_id = await engine.enqueue(Plain())
    first = asyncio.create_task(engine.runner.run(task_id))
    await old.began.wait()
    await engine.expire(task_id)
    engine.handlers[Plain.KIND] = Fake(new.work)
    second = asyncio.create_task(engine.runner.run(task_id))
    await new.began.wait()
    renewing = asyncio.create_task(engine.runner.renew_leases())
    await first
    assert old.cancelled
    lease = (await engine.row(task_id))["lease_until"]

    async def renewed() -> bool:
        return (await engine.row(task_id))["lease_until"] > lease

    await until(renewed, "a renewal of the newer run after the older one has gone")
    new.go_on.set()
    await second
    renewing.cancel()
    assert (await engine.row(task_id))["status"] == "succeeded"


async def test_a_shutdown_lets_runs_finish_within_the_grace_period(engine: Engine) -> None:
    gate = Gate()
    engine.handlers[Plain.KIND] = Fake(gate.work)
    task_id, late = await engine.enqueue(Plain()), await engine.enqueue(Plain())
    running = asyncio.create_task(engine.runner.run(task_id))
    await gate.began.wait()
    draining = asyncio.create_task(engine.runner.drain(10))
    await until(lambda: engine.runner.draining, "the drain")
    await engine.runner.run(late)
    gate.go_on.set()
    await asyncio.gather(draining, running)
    assert (await engine.row(task_id))["status"] == "succeeded"
    assert (await engine.row(late))["run_no"] == 0, "nothing is claimed during a shutdown"


async def test_a_shutdown_hands_back_what_does_not_finish_without_counting_it(engine: Engine) -> None:
    gate = Gate()
    engine.handlers[Plain.KIND] = Fake(gate.work)
    task_id = await engine.enqueue(Plain())
    running = asyncio.create_task(engine.runner.run(task_id))
    await gate.began.wait()
    await engine.runner.drain(0)
    await running
    row = await engine.row(task_id)
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 0, "handed_back")
    assert (row["lease_until"], row["published_at"]) == (None, None)
    assert await calls(engine) == 1


async def test_a_shutdown_waits_for_a_claim_that_is_under_way(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from contactship_common.tasks import store

    claiming, go_on = asyncio.Event(), asyncio.Event()
    claim = store.claim

    async def slow_claim(*args: Any, **options: Any) -> Any:
        claiming.set()
        await go_on.wait()
        return await claim(*args, **options)

    monkeypatch.setattr(store, "claim", slow_claim)
    engine.handlers[Plain.KIND] = Fake()
    task_id = await engine.enqueue(Plain())
    running = asyncio.create_task(engine.runner.run(task_id))
    await claiming.wait()
    draining = asyncio.create_task(engine.runner.drain(10))
    await until(lambda: engine.runner.draining, "the drain")
    assert not draining.done()
    go_on.set()
    await asyncio.gather(draining, running)
    assert (await engine.row(task_id))["status"] == "succeeded"


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
    assert await calls(engine) == 1


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
    assert await calls(engine) == 1


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


async def test_both_pools_recover_from_an_outage_that_is_longer_than_their_own_patience(
    on_own_server: Engine, own_postgres: PostgresServer
) -> None:
    engine = on_own_server
    engine.handlers[Plain.KIND] = Fake()
    task_id = await engine.enqueue(Plain())
    pool = engine.runtime.db.fast
    pool.reconnect_timeout = 0.2
    gave_up = asyncio.Event()
    pool._reconnect_failed = lambda _: gave_up.set()  # type: ignore[method-assign, assignment]
    await asyncio.to_thread(own_postgres.stop)
    await engine.runner.run(task_id)  # finds its connection broken, says so and goes on

    async def tried_in_vain() -> bool:
        await engine.runner.run(task_id)
        return gave_up.is_set()

    await until(tried_in_vain, "the pool to give up")
    await asyncio.to_thread(own_postgres.start)

    async def ran() -> bool:
        return (await engine.run(task_id))["status"] == "succeeded"

    await until(ran, "a claim after the outage")
