"""What becomes of a task for everything that a handler may say."""

import asyncio
import json
from typing import Any

import pytest
import structlog
from common_testkit import Engine, Fake, Plain, Quick

from contactship_common.redis_edge import RedisEdge
from contactship_common.tasks.outcomes import Again, Done, GivenUp, Permanent, RetryLater, Skip, Transient
from contactship_common.uow import TASK_ENDED_CHANNEL, UnitOfWork


def raising(error: BaseException) -> Any:
    async def step(*_: Any) -> None:
        raise error

    return step


def returning(value: Any) -> Any:
    async def step(*_: Any) -> Any:
        return value

    return step


async def test_a_result_is_recorded_in_the_transaction_that_ends_the_task(engine: Engine) -> None:
    row = await engine.do(Plain(), Fake(returning(42)))
    assert (row["status"], row["result"], row["error"]) == ("succeeded", {"result": 42}, None)
    assert row["finished_at"] is not None
    assert (row["lease_until"], row["lease_owner"], row["published_at"]) == (None, None, None)
    assert await engine.notes("recorded") == 1


async def test_done_succeeds_without_any_work(engine: Engine) -> None:
    handler = Fake(load=returning(Done({"known": True})))
    row = await engine.do(Plain(), handler)
    assert (row["status"], row["result"]) == ("succeeded", {"known": True})
    assert handler.steps.work == handler.steps.record == 0


async def test_skip_cancels_and_says_why(engine: Engine) -> None:
    handler = Fake(load=returning(Skip("the lead is gone")))
    row = await engine.do(Plain(), handler)
    assert (row["status"], row["error"]) == ("cancelled", {"code": "skipped", "message": "the lead is gone"})
    assert handler.steps.work == 0
    assert handler.steps.failed == []


@pytest.mark.parametrize("step", ["load", "work", "record"])
async def test_a_permanent_error_of_any_step_fails_the_task_at_once(engine: Engine, step: str) -> None:
    handler = Fake(**{step: raising(Permanent("refused", "the model refused"))})
    row = await engine.do(Plain(), handler)
    assert (row["status"], row["error"]) == ("failed", {"code": "refused", "message": "the model refused"})
    assert row["failures"] == 0
    assert handler.steps.failed == ["refused"]
    assert await engine.notes("failed") == 1
    assert await engine.notes("recorded") == 0, "what `record` wrote before it raised was rolled back"


async def test_transient_errors_wait_longer_each_time_until_the_attempts_are_used_up(engine: Engine) -> None:
    handler = Fake(raising(Transient("vendor_down", "HTTP 503")))
    engine.handlers[Plain.KIND] = handler
    task_id = await engine.enqueue(Plain())
    waits = []
    for attempt in range(1, 5):
        row = await engine.run(task_id)
        assert (row["status"], row["failures"], row["run_no"]) == ("queued", attempt, attempt)
        [wait] = await engine.sql(
            "SELECT extract(epoch FROM run_at - claimed_at)::float8 AS s FROM tasks WHERE id = %s", task_id
        )
        waits.append(wait["s"])
    row = await engine.run(task_id)
    assert (row["status"], row["failures"], row["error"]["code"]) == ("failed", 5, "vendor_down")
    assert handler.steps.failed == ["vendor_down"]
    base = engine.runtime.settings.task_backoff
    for attempt, wait in enumerate(waits):
        assert base * 2**attempt * 0.5 <= wait <= base * 2**attempt * 1.5 + 0.5


async def test_retry_later_waits_as_told_and_counts_nothing(engine: Engine) -> None:
    row = await engine.do(Plain(), Fake(raising(RetryLater("rate_limited", "429", delay_seconds=600))))
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 0, "rate_limited")
    [wait] = await engine.sql("SELECT run_at > now() + interval '590 seconds' AS late FROM tasks")
    assert wait["late"]


async def test_after_a_day_of_waiting_retry_later_fails_the_task(engine: Engine) -> None:
    engine.handlers[Plain.KIND] = handler = Fake(
        raising(RetryLater("no_budget", "the budget is used up", delay_seconds=1))
    )
    task_id = await engine.enqueue(Plain())
    await engine.run(task_id)
    await engine.sql("UPDATE tasks SET started_at = now() - interval '23 hours 59 minutes'")
    assert (await engine.run(task_id))["status"] == "queued"
    await engine.sql("UPDATE tasks SET started_at = now() - interval '24 hours 1 second'")
    row = await engine.run(task_id)
    assert (row["status"], row["error"]["code"]) == ("failed", "no_budget")
    assert handler.steps.failed == ["no_budget"]


@pytest.mark.parametrize("step", ["load", "work"])
async def test_a_run_that_takes_too_long_is_cancelled_and_counted(engine: Engine, step: str) -> None:
    cancelled = asyncio.Event()

    async def hang(*_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    row = await engine.do(Quick(), Fake(**{step: hang}))
    assert cancelled.is_set()
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 1, "timeout")


async def test_work_that_swallows_its_cancellation_cannot_hold_the_task(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contactship_common.tasks.runner._CLEAN_UP_SECONDS", 0.05)
    over = asyncio.Event()

    async def stubborn(*_: Any) -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    row = await engine.do(Quick(), Fake(stubborn))
    over.set()
    assert (row["status"], row["error"]["code"]) == ("queued", "timeout")


async def test_a_result_that_arrives_during_the_clean_up_is_not_thrown_away(engine: Engine) -> None:
    async def late(*_: Any) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "paid for"
        return ""

    row = await engine.do(Quick(), Fake(late))
    assert (row["status"], row["result"]) == ("succeeded", {"result": "paid for"})


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (KeyError("choices"), "KeyError"),
        (TimeoutError("a time-out of the vendor's client"), "TimeoutError"),
        (ConnectionResetError("the vendor hung up"), "ConnectionResetError"),
        (asyncio.CancelledError(), "RuntimeError"),
    ],
)
async def test_an_unexpected_error_of_work_is_counted_and_tried_again(
    engine: Engine, error: BaseException, name: str
) -> None:
    row = await engine.do(Plain(), Fake(raising(error)))
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 1, "internal_error")
    assert name in row["error"]["message"]


async def test_an_error_while_recording_leaves_nothing_half_written(engine: Engine) -> None:
    engine.handlers[Plain.KIND] = Fake(record=raising(ValueError("bug")))
    task_id = await engine.enqueue(Plain())
    row = await engine.run(task_id)
    assert (row["status"], row["failures"]) == ("queued", 1)
    assert await engine.notes("recorded") == 0
    engine.handlers[Plain.KIND] = Fake()
    assert (await engine.run(task_id))["status"] == "succeeded"
    assert await engine.notes("recorded") == 1


async def test_a_broken_failed_step_does_not_keep_the_task_alive(engine: Engine) -> None:
    row = await engine.do(Plain(), Fake(raising(Permanent("refused", "no")), failed=raising(ValueError("bug"))))
    assert (row["status"], row["error"]["code"]) == ("failed", "refused")
    assert await engine.notes("failed") == 0


async def test_a_kind_that_nobody_here_knows_waits_for_a_worker_that_does(engine: Engine) -> None:
    task_id = await engine.enqueue(Plain())
    row = await engine.run(task_id)  # no handler
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 0, "unknown_kind")
    await engine.sql("UPDATE tasks SET kind = 'of.the.future'")
    assert (await engine.run(task_id))["error"]["code"] == "unknown_kind"


async def test_a_payload_that_does_not_fit_fails_and_never_reaches_the_handler(engine: Engine) -> None:
    engine.handlers[Plain.KIND] = handler = Fake()
    task_id = await engine.enqueue(Plain())
    await engine.sql("UPDATE tasks SET payload = %s", json.dumps({"name": 7, "surprise": True}))
    row = await engine.run(task_id)
    assert (row["status"], row["error"]["code"]) == ("failed", "bad_payload")
    assert handler.steps.load == 0


async def test_a_task_whose_worker_was_lost_in_every_attempt_fails(engine: Engine) -> None:
    engine.handlers[Plain.KIND] = handler = Fake()
    task_id = await engine.enqueue(Plain())
    for lost in range(1, 6):
        await engine.claim(task_id)
        await engine.expire(task_id)
        row = await engine.row(task_id)
        assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", lost, "lease_expired")
    row = await engine.run(task_id)
    assert (row["status"], row["error"]["code"]) == ("failed", "attempts_used_up")
    assert handler.steps.work == 0
    assert handler.steps.failed == ["attempts_used_up"]


async def test_the_correlation_id_of_the_request_is_bound_while_its_task_works(engine: Engine) -> None:
    seen: dict[str, Any] = {}

    async def look(*_: Any) -> None:
        seen.update(structlog.contextvars.get_contextvars())

    row = await engine.do(Plain(), Fake(look))
    assert seen == {
        "correlation_id": "request-1",
        "task_id": str(row["id"]),
        "kind": "test.plain",
        "run_no": 1,
    }


async def test_after_the_commit_cached_answers_are_forgotten_and_waiters_are_told(engine: Engine) -> None:
    redis = engine.runtime.redis
    assert isinstance(redis, RedisEdge)
    assert redis.client is not None
    task_id = await engine.enqueue(Plain(name="x"))
    await redis.client.set("cs:test:x", b"old")
    async with redis.client.pubsub() as listener:
        await listener.subscribe(TASK_ENDED_CHANNEL)
        assert (await listener.get_message(timeout=5))["type"] == "subscribe"
        engine.handlers[Plain.KIND] = Fake()
        await engine.run(task_id)
        assert (await listener.get_message(timeout=5))["data"] == str(task_id).encode()
    assert await redis.client.get("cs:test:x") is None


async def test_tasks_that_record_queues_are_part_of_the_same_transaction(engine: Engine) -> None:
    async def queue_another(uow: UnitOfWork, *_: Any) -> None:
        uow.enqueue(Plain(name="second"))

    row = await engine.do(Plain(), Fake(record=queue_another))
    assert row["status"] == "succeeded"
    [second] = await engine.sql("SELECT * FROM tasks WHERE id <> %s", row["id"])
    assert (second["status"], second["requested_by"], second["correlation_id"]) == ("queued", "tester", "request-1")


async def test_a_statement_that_the_database_refuses_while_loading_is_a_counted_failure(engine: Engine) -> None:
    async def wrong(session: Any, *_: Any) -> None:
        from sqlalchemy import text

        await session.execute(text("SELECT 1/0"))

    row = await engine.do(Plain(), Fake(load=wrong))
    assert (row["status"], row["failures"]) == ("queued", 1)


async def test_nothing_is_raised_when_the_table_itself_is_missing(engine: Engine) -> None:
    task_id = await engine.enqueue(Plain())
    await engine.sql("ALTER TABLE tasks RENAME TO tasks_elsewhere")
    await engine.runner.run(task_id)


async def test_again_keeps_what_was_recorded_and_runs_the_task_later_uncounted(engine: Engine) -> None:
    handler = Fake(record=returning(Again("not_yet", "the receiver was busy", delay_seconds=60)))
    row = await engine.do(Plain(), handler)
    assert (row["status"], row["failures"], row["result"]) == ("queued", 0, None)
    assert row["error"] == {"code": "not_yet", "message": "the receiver was busy"}
    assert (row["lease_until"], row["lease_owner"], row["published_at"]) == (None, None, None)
    [wait] = await engine.sql("SELECT extract(epoch FROM run_at - claimed_at)::float8 AS s FROM tasks")
    assert 60 <= wait["s"] < 62
    assert await engine.notes("recorded") == 1
    assert handler.steps.failed == []


async def test_again_may_be_said_more_often_than_a_task_may_fail(engine: Engine) -> None:
    handler = Fake(record=returning(Again("not_yet", "the receiver was busy", delay_seconds=0)))
    engine.handlers[Plain.KIND] = handler
    task_id = await engine.enqueue(Plain())
    for _ in range(8):
        assert (await engine.run(task_id))["status"] == "queued"
    assert await engine.notes("recorded") == 8


async def test_given_up_keeps_what_was_recorded_and_ends_the_task_as_failed(engine: Engine) -> None:
    handler = Fake(record=returning(GivenUp("gone", "the receiver wants no more")))
    row = await engine.do(Plain(), handler)
    assert (row["status"], row["error"]) == ("failed", {"code": "gone", "message": "the receiver wants no more"})
    assert row["finished_at"] is not None
    assert await engine.notes("recorded") == 1
    assert handler.steps.failed == [], "`record` has said all there was to say"


@pytest.mark.parametrize("outcome", [Again("later", "later", delay_seconds=0), GivenUp("gone", "gone")])
async def test_a_run_that_was_overtaken_records_neither_again_nor_given_up(engine: Engine, outcome: Any) -> None:
    async def overtaken(uow: UnitOfWork, *_: Any) -> Any:
        await engine.sql("UPDATE tasks SET run_no = run_no + 1")
        return outcome

    row = await engine.do(Plain(), Fake(record=overtaken))
    assert (row["status"], row["run_no"]) == ("running", 2)
    assert await engine.notes("recorded") == 0
