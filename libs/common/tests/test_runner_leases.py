"""Leases, fencing, shutdown and a database that goes away in the middle of a run."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from common_testkit import CALL, Engine, Fake, Gate, Plain, until

from contactship_common.models import AICall
from contactship_common.tasks import journal, store
from contactship_common.tasks.outcomes import Permanent, Transient


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
    assert await engine.calls() == 1


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
    assert await engine.calls() == 1


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
    assert await engine.calls() == 1


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
    assert await engine.calls() == 1


async def test_a_shutdown_waits_for_a_claim_that_is_under_way(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    claiming, go_on = asyncio.Event(), asyncio.Event()
    claim = store.claim_free

    async def slow_claim(*args: Any, **options: Any) -> Any:
        claiming.set()
        await go_on.wait()
        return await claim(*args, **options)

    monkeypatch.setattr(store, "claim_free", slow_claim)
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


async def test_two_messages_about_one_task_at_the_same_moment_run_it_once(engine: Engine) -> None:
    fake = engine.handlers[Plain.KIND] = Fake()
    twice, other = await engine.enqueue(Plain(name="a")), await engine.enqueue(Plain(name="b"))
    await asyncio.gather(*(engine.runner.run(task_id) for task_id in (twice, twice, other, twice)))
    for task_id in (twice, other):
        row = await engine.row(task_id)
        assert (row["status"], row["run_no"]) == ("succeeded", 1)
    assert fake.steps.work == 2


async def test_a_task_that_somebody_has_locked_holds_up_no_other_and_no_lease(engine: Engine) -> None:
    engine.handlers[Plain.KIND] = Fake()
    locked, free = await engine.enqueue(Plain(name="a")), await engine.enqueue(Plain(name="b"))
    async with engine.runtime.db.sessions() as holder, holder.begin():
        await holder.execute(sa.text("SELECT 1 FROM tasks WHERE id = :id FOR UPDATE"), {"id": locked})
        waiting = asyncio.create_task(engine.runner.run(locked))
        await engine.runner.run(free)
        assert (await engine.row(free))["status"] == "succeeded"
        await engine.runner.run(free)  # a duplicate, and still nobody waits
        assert await store.renew(engine.runtime.db.claims, [(free, 1)], lease_seconds=30) == set()
        assert not waiting.done()
    await waiting
    assert (await engine.row(locked))["status"] == "succeeded"
