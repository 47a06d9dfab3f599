"""Work that must never be done twice, such as sending a message."""

import asyncio
from typing import Any

import pytest
from common_testkit import Engine, Fake, Once, QuickOnce, until

from contactship_common.tasks.outcomes import RetryLater, Transient


async def test_the_intent_is_committed_before_the_work_begins(engine: Engine) -> None:
    seen: list[Any] = []

    async def look(*_: Any) -> None:
        seen.extend(await engine.sql("SELECT intent_at FROM tasks"))

    row = await engine.do(Once(), Fake(look))
    assert seen[0]["intent_at"] is not None
    assert row["status"] == "succeeded"


async def test_a_worker_killed_after_the_intent_means_unknown_and_is_never_repeated(engine: Engine) -> None:
    engine.handlers[Once.KIND] = handler = Fake()
    task_id = await engine.enqueue(Once())
    lost = await engine.claim(task_id)
    await engine.sql("UPDATE tasks SET intent_at = now() WHERE run_no = %s", lost.run_no)
    await engine.expire(task_id)
    row = await engine.run(task_id)
    assert (row["status"], row["error"]["code"]) == ("failed", "unknown")
    assert handler.steps.work == 0
    assert handler.steps.failed == ["unknown"]


async def test_a_worker_killed_before_the_intent_is_simply_followed_by_another(engine: Engine) -> None:
    engine.handlers[Once.KIND] = handler = Fake()
    task_id = await engine.enqueue(Once())
    await engine.claim(task_id)
    await engine.expire(task_id)
    assert (await engine.run(task_id))["status"] == "succeeded"
    assert handler.steps.work == 1


@pytest.mark.parametrize(
    "error", [RetryLater("rate_limited", "429", delay_seconds=0), Transient("vendor_down", "refused to connect")]
)
async def test_work_that_says_it_did_nothing_is_tried_again(engine: Engine, error: Exception) -> None:
    async def refused_at_first(*_: Any) -> str:
        if handler.steps.work == 1:
            raise error
        return "sent"

    engine.handlers[Once.KIND] = handler = Fake(refused_at_first)
    task_id = await engine.enqueue(Once())
    row = await engine.run(task_id)
    assert (row["status"], row["intent_at"]) == ("queued", None)
    assert (await engine.run(task_id))["status"] == "succeeded"
    assert handler.steps.work == 2


async def test_a_broken_off_run_ends_as_unknown(engine: Engine) -> None:
    async def broken(*_: Any) -> None:
        raise ConnectionResetError

    handler = Fake(broken)
    row = await engine.do(Once(), handler)
    assert (row["status"], row["error"]["code"]) == ("failed", "unknown")
    assert handler.steps.failed == ["unknown"]


async def test_a_run_that_took_too_long_ends_as_unknown(engine: Engine) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    row = await engine.do(QuickOnce(), Fake(hang))
    assert (row["status"], row["error"]["code"]) == ("failed", "unknown")


@pytest.mark.parametrize("error", [ValueError("bug"), Transient("again", "try again")])
async def test_whatever_goes_wrong_while_recording_the_work_is_not_repeated(engine: Engine, error: Exception) -> None:
    async def wrong(*_: Any) -> None:
        raise error

    handler = Fake(record=wrong)
    row = await engine.do(Once(), handler)
    assert (row["status"], row["error"]["code"]) == ("failed", "unknown")
    assert handler.steps.work == 1


async def test_an_error_before_the_work_is_tried_again(engine: Engine) -> None:
    async def wrong(*_: Any) -> None:
        raise KeyError("bug")

    row = await engine.do(Once(), Fake(load=wrong))
    assert (row["status"], row["failures"], row["intent_at"]) == ("queued", 1, None)


async def test_work_stopped_by_a_shutdown_is_handed_back_and_ends_as_unknown(engine: Engine) -> None:
    working = asyncio.Event()

    async def hang(*_: Any) -> None:
        working.set()
        await asyncio.Event().wait()

    engine.handlers[Once.KIND] = handler = Fake(hang)
    task_id = await engine.enqueue(Once())
    running = asyncio.create_task(engine.runner.run(task_id))
    await working.wait()
    await engine.runner.drain(0)
    await running
    row = await engine.row(task_id)
    assert (row["status"], row["failures"]) == ("queued", 0)
    assert row["intent_at"] is not None
    engine.runner = engine.make_runner("worker-2")
    row = await engine.run(task_id)
    assert (row["status"], row["error"]["code"]) == ("failed", "unknown")
    assert handler.steps.work == 1


async def test_a_shutdown_before_the_work_began_leaves_it_to_another_worker(engine: Engine) -> None:
    loading, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> str:
        loading.set()
        await go_on.wait()
        return "loaded"

    engine.handlers[Once.KIND] = handler = Fake(load=slow)
    task_id = await engine.enqueue(Once())
    running = asyncio.create_task(engine.runner.run(task_id))
    await loading.wait()
    draining = asyncio.create_task(engine.runner.drain(0))
    await until(lambda: any(run.ended_by for run in engine.runner.runs), "the end of the grace period")
    go_on.set()
    await asyncio.gather(draining, running)
    row = await engine.row(task_id)
    assert (row["status"], row["intent_at"], handler.steps.work) == ("queued", None, 0)
    engine.runner = engine.make_runner("worker-2")
    assert (await engine.run(task_id))["status"] == "succeeded"


async def test_a_person_may_ask_for_it_again(engine: Engine) -> None:
    from contactship_common.tasks import store
    from contactship_common.uow import unit_of_work

    async def broken(*_: Any) -> None:
        raise OSError

    row = await engine.do(Once(), Fake(broken))
    async with unit_of_work(engine.runtime) as uow:
        assert await store.retry(uow.session, row["id"])
    engine.handlers[Once.KIND] = Fake()
    assert (await engine.run(row["id"]))["status"] == "succeeded"
