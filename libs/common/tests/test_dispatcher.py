"""Due, delayed and lost tasks are rung inside a bounded window, whatever Redis or PostgreSQL do."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import dramatiq
import psycopg
import pytest
from common_testkit import Engine, Fake, Plain, until

from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings
from contactship_common.tasks.broker import messages_waiting
from contactship_common.tasks.dispatcher import Dispatcher
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.template import migrated_database
from contactship_devstack.valkey import ValkeyServer

MANY = """
INSERT INTO tasks (id, kind, queue, priority, payload, status, holds, rerun, run_no, failures, max_attempts)
SELECT gen_random_uuid(), 'test.plain', 'sync', %s, '{}', 'queued', 'ended', false, 0, 0, 5 FROM generate_series(1, %s)
"""


async def waiting(engine: Engine) -> int:
    return await asyncio.to_thread(messages_waiting, engine.runtime.broker, "sync")


def _take(runtime: Runtime) -> list[UUID]:
    """Fetch every waiting message as a worker does, oldest first."""
    ids = []
    consumer = runtime.broker.consume("sync", prefetch=1_000, timeout=50)
    while (message := next(consumer)) is not None:
        ids.append(UUID(dramatiq.Message.decode(message.encode()).args[0]))
        consumer.ack(message)
    return ids


async def take(engine: Engine) -> list[UUID]:
    return await asyncio.to_thread(_take, engine.runtime)


async def test_a_lost_message_is_rung_again_after_a_while_and_not_before(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(task_ring_again=10), sql)
    task_id = await engine.enqueue(Plain())
    await until(lambda: waiting(engine), "the first ring")
    assert await take(engine) == [task_id]  # and the worker that took it dies
    dispatcher = Dispatcher(engine.runtime)
    assert await dispatcher.tick() == 0
    await sql("UPDATE tasks SET published_at = now() - interval '11 seconds'")
    assert await dispatcher.tick() == 1
    assert await take(engine) == [task_id]


async def test_a_delayed_task_is_not_rung_before_its_time(engine: Engine) -> None:
    task_id = await engine.enqueue(Plain(), delay_seconds=60)
    dispatcher = Dispatcher(engine.runtime)
    assert await dispatcher.tick() == 0
    await engine.runner.run(task_id)
    assert (await engine.row(task_id))["run_no"] == 0, "a message that came too early claims nothing"
    await engine.sql("UPDATE tasks SET run_at = now()")
    assert await dispatcher.tick() == 1


async def test_the_most_urgent_and_then_the_oldest_come_first(engine: Engine) -> None:
    await engine.sql(MANY, 100, 30)
    await engine.sql("UPDATE tasks SET run_at = now() - random() * interval '1 hour'")
    await engine.sql(MANY, 10, 5)
    await Dispatcher(engine.runtime).tick()
    rows = await engine.sql("SELECT id FROM tasks ORDER BY priority, run_at")
    rang = await take(engine)
    assert set(rang[:5]) == {row["id"] for row in rows[:5]}
    assert rang[5:] == [row["id"] for row in rows[5:16]]


async def test_fifty_thousand_waiting_tasks_and_no_worker_make_a_window_of_messages(engine: Engine) -> None:
    await engine.sql(MANY, 100, 50_000)
    dispatcher = Dispatcher(engine.runtime)
    assert await dispatcher.tick() == 16
    for _ in range(5):
        assert await dispatcher.tick() == 0
    await engine.sql("UPDATE tasks SET published_at = now() - interval '1 hour' WHERE published_at IS NOT NULL")
    for _ in range(5):
        assert await dispatcher.tick() == 0, "what waits in the broker is not rung once more"
    assert await waiting(engine) == 16


async def test_the_window_follows_the_threads_and_is_refilled_as_it_is_worked_off(engine: Engine) -> None:
    await engine.sql(MANY, 100, 50_000)
    await engine.sql(
        "INSERT INTO worker_heartbeats (id, kind, queue, threads, running) VALUES ('a', 'k', 'sync', 8, 0), "
        "('b', 'k', 'sync', 4, 0), ('other', 'k', 'ai', 900, 0)"
    )
    await engine.sql(
        "INSERT INTO worker_heartbeats (id, kind, queue, threads, running, seen_at) "
        "VALUES ('dead', 'k', 'sync', 500, 0, now() - interval '1 minute')"
    )
    dispatcher = Dispatcher(engine.runtime)
    assert await dispatcher.tick() == 48
    seen = Counter(await take(engine))
    assert await dispatcher.tick() == 48
    seen += Counter(await take(engine))
    assert len(seen) == 96, "each time others"


async def test_a_flushed_broker_with_five_hundred_waiting_tasks_loses_none(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(task_ring_again=0.05), sql)
    await engine.sql(MANY, 100, 500)
    handler = engine.handlers[Plain.KIND] = Fake()
    dispatcher = Dispatcher(engine.runtime)
    assert engine.runtime.redis.client is not None
    await dispatcher.tick()
    await engine.runtime.redis.client.flushall()

    async def all_done() -> bool:
        await dispatcher.tick()
        await asyncio.gather(*map(engine.runner.run, await take(engine)))
        return await engine.sql("SELECT 1 FROM tasks WHERE status <> 'succeeded' LIMIT 1") == []

    await until(all_done, "500 tasks", seconds=30)
    assert handler.steps.work == 500


async def test_two_dispatchers_at_once_ring_nothing_twice(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(), sql)
    other = await make_runtime()
    await engine.sql(MANY, 100, 400)
    await engine.sql(
        "INSERT INTO worker_heartbeats (id, kind, queue, threads, running) VALUES ('a', 'k', 'sync', 50, 0)"
    )
    dispatchers = [Dispatcher(engine.runtime), Dispatcher(other)]
    for _ in range(4):
        await asyncio.gather(*(dispatcher.tick() for dispatcher in dispatchers))
    rang = Counter(await take(engine))
    assert max(rang.values()) == 1
    assert 200 <= len(rang) <= 400


async def test_a_lost_lease_returns_the_task_to_the_queue_once_and_counts_it(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(), sql)
    lost, alive = await engine.enqueue(Plain()), await engine.enqueue(Plain())
    await engine.claim(lost)
    await engine.claim(alive)
    await sql("UPDATE tasks SET lease_until = now() - interval '1 ms' WHERE id = %s", lost)
    other = Dispatcher(await make_runtime())
    await asyncio.gather(Dispatcher(engine.runtime).tick(), other.tick())
    row = await engine.row(lost)
    assert (row["status"], row["failures"], row["lease_owner"]) == ("queued", 1, None)
    assert (await engine.row(alive))["status"] == "running"


async def test_a_broker_that_is_away_does_not_keep_leases_from_expiring(engine: Engine, valkey: ValkeyServer) -> None:
    task_id = await engine.enqueue(Plain())
    await engine.claim(task_id)
    await engine.sql("UPDATE tasks SET lease_until = now() - interval '1 ms'")
    await asyncio.to_thread(valkey.stop)
    dispatcher = Dispatcher(engine.runtime)
    assert await dispatcher.tick() == 0
    assert (await engine.row(task_id))["status"] == "queued"
    await asyncio.to_thread(valkey.start)
    await until(dispatcher.tick, "the ring after the broker came back")
    assert await take(engine) == [task_id]


@pytest.fixture
async def on_own_server(own_postgres: PostgresServer, redis_url: str) -> AsyncIterator[Runtime]:
    settings = CoreSettings(
        database_url=migrated_database(own_postgres),
        redis_url=redis_url,
        dispatcher_tick=0.02,
        db_pool_timeout=0.3,
        task_lease=60,
    )
    runtime = Runtime(settings, AISettings(ai_providers=("local",)))
    await runtime.open()
    yield runtime
    await runtime.close()


async def test_the_dispatcher_waits_for_a_database_that_is_away_and_then_is_patient_with_leases(
    on_own_server: Runtime, own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatcher = Dispatcher(on_own_server)
    ticks = {"good": 0, "bad": 0}
    tick = dispatcher.tick

    async def counted() -> int:
        try:
            rung = await tick()
        except Exception:
            ticks["bad"] += 1
            raise
        ticks["good"] += 1
        return rung

    monkeypatch.setattr(dispatcher, "tick", counted)
    stop = asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stop))
    await until(lambda: ticks["good"], "the first tick")
    await asyncio.to_thread(own_postgres.stop)
    await until(lambda: ticks["bad"], "a failed tick")
    good = ticks["good"]
    await asyncio.to_thread(own_postgres.start)
    async with await psycopg.AsyncConnection.connect(on_own_server.settings.database_url) as connection:
        await connection.execute(
            "INSERT INTO tasks (id, kind, queue, priority, payload, status, holds, rerun, run_no, failures, "
            "max_attempts, lease_until) VALUES (gen_random_uuid(), 'test.plain', 'sync', 1, '{}', 'running', 'ended', "
            "false, 1, 0, 5, now() - interval '1 s')"
        )
    await until(lambda: ticks["good"] > good + 3, "ticks after the outage")
    stop.set()
    await running
    async with await psycopg.AsyncConnection.connect(on_own_server.settings.database_url) as connection:
        row = await (await connection.execute("SELECT status FROM tasks")).fetchone()
    assert row == ("running",), "its worker could not renew the lease either, and gets the time to do so"


async def test_stopping_does_not_wait_for_the_next_tick(make_runtime: Any) -> None:
    dispatcher = Dispatcher(await make_runtime(dispatcher_tick=3_600))
    stop = asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stop))
    await until(lambda: dispatcher._ticks, "the first tick")
    stop.set()
    async with asyncio.timeout(5):
        await running
