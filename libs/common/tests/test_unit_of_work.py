"""One transaction, and what happens with it and after it."""

import asyncio
import time
from typing import Any

import psycopg
import pytest
from common_testkit import Ended, Engine, Plain, Waiting, until
from structlog.testing import capture_logs

from contactship_common.errors import InvalidLogin, NotFound
from contactship_common.tasks.broker import messages_waiting
from contactship_common.uow import RING_AT_MOST, Context, UnitOfWork, unit_of_work
from contactship_devstack.valkey import ValkeyServer


async def waiting(engine: Engine) -> int:
    return await asyncio.to_thread(messages_waiting, engine.runtime.broker, "sync")


async def rung(engine: Engine, count: int) -> None:
    async def there() -> bool:
        return await waiting(engine) == count

    await until(there, f"{count} messages")


async def test_the_same_slot_twice_in_one_transaction_is_one_task_with_both_wishes(engine: Engine) -> None:
    async with unit_of_work(engine.runtime) as uow:
        first = uow.enqueue(Ended(name="a"), delay_seconds=60, priority=100)
        second = uow.enqueue(Ended(name="a", note="why"), priority=10, rerun=True)
    assert first is second
    [row] = await engine.sql("SELECT *, run_at <= now() AS due FROM tasks")
    assert (row["id"], row["payload"]) == (first.id, {"name": "a", "note": "why"})
    assert (row["priority"], row["rerun"], row["due"]) == (10, True, True)
    assert first.inserted
    assert first.due


async def test_a_debounce_within_one_transaction_takes_the_later_time(engine: Engine) -> None:
    async with unit_of_work(engine.runtime) as uow:
        uow.enqueue(Waiting(name="a"), delay_seconds=1, max_wait_seconds=60)
        uow.enqueue(Waiting(name="a"), delay_seconds=30, max_wait_seconds=60)
    [row] = await engine.sql("SELECT extract(epoch FROM run_at - created_at)::float8 AS s FROM tasks")
    assert row["s"] == pytest.approx(30)


async def test_a_slot_that_is_held_gives_the_later_caller_the_same_task(engine: Engine) -> None:
    first = await engine.enqueue(Ended(name="a"))
    async with unit_of_work(engine.runtime) as uow:
        ref = uow.enqueue(Ended(name="a"))
        await uow.flush()
        assert (ref.id, ref.inserted, ref.status) == (first, False, "queued")


async def test_fifty_parallel_requests_for_one_slot_make_one_task(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(db_pool_size=50), sql)
    ids = await asyncio.gather(*(engine.enqueue(Ended(name="a", note=str(n))) for n in range(50)))
    assert len(set(ids)) == 1
    assert len(await engine.sql("SELECT 1 FROM tasks")) == 1


async def test_the_same_slots_in_opposite_orders_do_not_deadlock(make_runtime: Any, sql: Any) -> None:
    engine = Engine(await make_runtime(db_pool_size=20), sql)
    names = [f"n{n:02}" for n in range(12)]

    async def ask(order: list[str]) -> None:
        async with unit_of_work(engine.runtime) as uow:
            for name in order:
                uow.enqueue(Ended(name=name))

    for _ in range(5):
        await asyncio.gather(*(ask(names if n % 2 else names[::-1]) for n in range(20)))
    assert len(await engine.sql("SELECT 1 FROM tasks")) == len(names)


async def test_an_error_rolls_everything_back_and_tells_nobody(engine: Engine) -> None:
    assert engine.runtime.redis.client is not None
    await engine.runtime.redis.client.set("cs:k", b"v")

    async def refused() -> None:
        async with unit_of_work(engine.runtime) as uow:
            uow.enqueue(Plain())
            uow.audit("lead.create")
            uow.forget("cs:k")
            await uow.flush()
            raise NotFound

    with pytest.raises(NotFound):
        await refused()
    assert await engine.sql("SELECT 1 FROM tasks UNION ALL SELECT 1 FROM audit_logs") == []
    assert await engine.runtime.redis.client.get("cs:k") == b"v"
    assert await waiting(engine) == 0


async def test_an_error_that_keeps_its_effects_commits_what_was_recorded(engine: Engine) -> None:
    async def refused() -> None:
        async with unit_of_work(engine.runtime) as uow:
            uow.audit("login.failed")
            uow.enqueue(Plain())
            raise InvalidLogin

    with pytest.raises(InvalidLogin):
        await refused()
    assert await engine.notes("login.failed") == 1
    assert len(await engine.sql("SELECT 1 FROM tasks")) == 1


async def test_an_audit_row_says_who_did_what_and_is_part_of_the_transaction(engine: Engine) -> None:
    context = Context(actor="user:1", ip="10.0.0.1", user_agent="curl", request_id="r-1")
    async with unit_of_work(engine.runtime, context) as uow:
        uow.audit("lead.create", "lead", 7, status="new")
    [row] = await engine.sql("SELECT * FROM audit_logs")
    assert (row["actor"], row["action"], row["entity_type"], row["entity_id"]) == ("user:1", "lead.create", "lead", "7")
    assert (row["ip"], row["user_agent"], row["request_id"], row["data"]) == (
        "10.0.0.1",
        "curl",
        "r-1",
        {"status": "new"},
    )


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_logs SET actor = 'nobody'", "DELETE FROM audit_logs", "TRUNCATE audit_logs"]
)
async def test_the_database_refuses_to_change_the_audit_log(engine: Engine, statement: str) -> None:
    async with unit_of_work(engine.runtime) as uow:
        uow.audit("lead.create")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await engine.sql(statement)
    assert await engine.notes("lead.create") == 1


async def test_a_worker_is_rung_after_the_commit_and_not_before(engine: Engine) -> None:
    async with unit_of_work(engine.runtime) as uow:
        uow.enqueue(Plain())
        await uow.flush()
        assert await waiting(engine) == 0
    await rung(engine, 1)


async def test_what_is_not_due_is_not_rung(engine: Engine) -> None:
    async with unit_of_work(engine.runtime) as uow:
        later = uow.enqueue(Plain(), delay_seconds=60)
        uow.enqueue(Plain())
    await rung(engine, 1)
    assert not later.due
    assert (await engine.row(later.id))["published_at"] is None


async def test_many_tasks_are_left_to_the_dispatcher(engine: Engine) -> None:
    async with unit_of_work(engine.runtime) as uow:
        for _ in range(RING_AT_MOST + 1):
            uow.enqueue(Plain())
    assert await engine.sql("SELECT 1 FROM tasks WHERE published_at IS NOT NULL") == []
    async with unit_of_work(engine.runtime) as uow:
        for _ in range(RING_AT_MOST):
            uow.enqueue(Plain())
    await rung(engine, RING_AT_MOST)


async def test_a_task_brought_forward_is_rung(engine: Engine) -> None:
    first = await engine.enqueue(Ended(name="a"), delay_seconds=60)
    assert await engine.enqueue(Ended(name="a")) == first
    await rung(engine, 1)


async def test_a_due_task_that_a_debounce_moves_does_not_count_as_rung_when_it_is_due_again(engine: Engine) -> None:
    task_id = await engine.enqueue(Waiting(name="a"), delay_seconds=0, max_wait_seconds=60)
    assert (await engine.row(task_id))["published_at"] is not None
    assert await engine.enqueue(Waiting(name="a"), delay_seconds=5, max_wait_seconds=60) == task_id
    assert (await engine.row(task_id))["published_at"] is None


@pytest.mark.parametrize("fault", ["stopped", "frozen"])
async def test_a_commit_does_not_depend_on_redis(engine: Engine, valkey: ValkeyServer, fault: str) -> None:
    await engine.enqueue(Plain(name="warm"))
    if fault == "stopped":
        await asyncio.to_thread(valkey.stop)
    else:
        valkey.freeze()
    started = time.monotonic()
    task_id = await engine.enqueue(Plain(name="x"))
    first = time.monotonic() - started
    for _ in range(20):
        await engine.enqueue(Plain(name="y"))
    assert first < 1.0
    assert time.monotonic() - started - first < 1.0, "while Redis is known to be away nobody waits for it"
    assert (await engine.row(task_id))["status"] == "queued"
    valkey.thaw()
    await asyncio.to_thread(valkey.start)


async def test_what_follows_a_commit_never_makes_it_look_failed(engine: Engine) -> None:
    redis = engine.runtime.redis.client
    assert redis is not None
    await redis.set("cs:k", "old")
    with capture_logs() as logs:
        async with unit_of_work(engine.runtime) as uow:
            ref = uow.enqueue(Plain(name="kept"))
            uow.emit("lead:updated", {"leadId": object()}, to=["leads"])  # nothing that JSON can say
            uow.forget("cs:k")
    assert (await engine.row(ref.id))["status"] == "queued"
    assert "commit.not_told" in [line["event"] for line in logs]

    async def forgotten() -> bool:
        return await redis.get("cs:k") is None

    await until(forgotten, "the cached answer to be dropped")


async def test_cached_answers_are_forgotten_after_the_commit(engine: Engine) -> None:
    redis = engine.runtime.redis.client
    assert redis is not None
    await redis.mset({"cs:k": "old", "cs:k:fill": "token"})
    async with unit_of_work(engine.runtime) as uow:
        uow.forget("cs:k")
        await uow.flush()
        assert await redis.exists("cs:k", "cs:k:fill") == 2
    assert await redis.exists("cs:k", "cs:k:fill") == 0


async def test_a_burst_of_commits_forgets_every_key(make_runtime: Any, sql: Any) -> None:
    runtime = await make_runtime(db_pool_size=20)
    redis = runtime.redis.client
    keys = [f"cs:{n}" for n in range(600)]
    await redis.mset(dict.fromkeys(keys, "old"))

    async def forget(key: str) -> None:
        async with unit_of_work(runtime) as uow:
            uow.forget(key)

    await asyncio.gather(*map(forget, keys))
    await until_gone(redis, keys)


async def test_what_redis_missed_while_it_was_away_is_forgotten_when_it_is_back(make_runtime: Any, valkey: Any) -> None:
    runtime = await make_runtime()
    redis = runtime.redis.client
    await redis.set("cs:k", "old")
    valkey.freeze()
    async with unit_of_work(runtime) as uow:
        uow.forget("cs:k")
    valkey.thaw()
    await until_gone(redis, ["cs:k"])


async def until_gone(redis: Any, keys: list[str]) -> None:
    """Those that a busy machine did not get through in time are said again."""

    async def gone() -> bool:
        return not await redis.exists(*keys)

    await until(gone, "the keys to be forgotten")


async def test_nothing_to_do_takes_no_connection(engine: Engine) -> None:
    uow = UnitOfWork(engine.runtime, Context())
    await uow.commit()
    assert engine.runtime.db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await uow.close()
