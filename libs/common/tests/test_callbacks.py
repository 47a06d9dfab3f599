"""However a task ends, whoever wanted to hear of it gets a delivery, in the same transaction."""

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest
from common_testkit import Engine, Fake
from common_testkit.kinds import Ended

from contactship_common.errors import CallbacksNotConfigured
from contactship_common.outbound import callbacks
from contactship_common.settings import CoreSettings
from contactship_common.tasks import store
from contactship_common.tasks.outcomes import Done, Permanent, Skip, Transient
from contactship_common.uow import Context, UnitOfWork, unit_of_work
from contactship_devstack.testing import Sql

URL = "https://receiver.example/hook"


class Told(Ended):
    """A kind that takes callbacks."""

    KIND = "test.told"
    CALLBACK_EVENT = "test.done"


@pytest.fixture(autouse=True)
def told_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    from contactship_common.tasks import catalog

    monkeypatch.setitem(catalog.KINDS, Told.KIND, Told)


async def ask(engine: Engine, *urls: str, rerun: bool = False) -> UUID:
    """Enqueue the task, with callbacks, as an endpoint does."""
    async with unit_of_work(engine.runtime, Context(actor="user:1")) as uow:
        task = uow.enqueue(Told(name="a"), rerun=rerun)
        await uow.flush()
        for url in urls:
            await callbacks.want(uow, task.id, url)
    return task.id


async def told(sql: Sql) -> list[tuple[str, str, dict[str, Any]]]:
    """URL, type and data of every delivery."""
    rows = await sql("SELECT * FROM outbound_deliveries ORDER BY url, id")
    bodies = [json.loads(row["payload"]) for row in rows]
    assert [row["event_type"] for row in rows] == [body["type"] for body in bodies]
    queued = await sql("SELECT subject_id FROM tasks WHERE kind = 'outbound.deliver'")
    assert {row["subject_id"] for row in queued} == {row["id"] for row in rows}, (
        "each delivery has a task that makes it"
    )
    return [(row["url"], body["type"], body["data"]) for row, body in zip(rows, bodies, strict=True)]


def says(value: Any) -> Any:
    async def step(*_: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    return step


async def test_a_result_is_told_to_everybody_who_asked_once_each(engine: Engine, sql: Sql) -> None:
    task_id = await ask(engine, URL, URL, URL + "2")
    engine.handlers[Told.KIND] = Fake(says(42))
    await engine.run(task_id)
    data = {
        "taskId": str(task_id),
        "kind": "test.told",
        "status": "completed",
        "subjectId": None,
        "result": {"result": 42},
        "error": None,
    }
    assert await told(sql) == [(URL, "test.done", data), (URL + "2", "test.done", data)]
    assert await sql("SELECT id FROM task_callbacks") == []
    [owner, _] = await sql("SELECT requested_by FROM tasks WHERE kind = 'outbound.deliver'")
    assert owner["requested_by"] == "user:1"


@pytest.mark.parametrize(
    ("handler", "event", "code"),
    [
        (Fake(says(Permanent("refused", "the model refused"))), "task.failed", "refused"),
        (Fake(load=says(Skip("the meeting is gone"))), "task.cancelled", "skipped"),
        (Fake(says(Permanent("refused", "no")), failed=says(RuntimeError())), "task.failed", "refused"),
        (Fake(load=says(Done({"known": True}))), "test.done", None),
    ],
)
async def test_every_other_end_is_told_too(
    engine: Engine, sql: Sql, handler: Fake, event: str, code: str | None
) -> None:
    engine.handlers[Told.KIND] = handler
    await engine.run(await ask(engine, URL))
    [(_, event_type, data)] = await told(sql)
    assert (event_type, (data["error"] or {}).get("code")) == (event, code)


async def test_a_payload_that_no_longer_fits_its_kind_is_told_as_a_failure(engine: Engine, sql: Sql) -> None:
    task_id = await ask(engine, URL)
    await sql("UPDATE tasks SET payload = '{}' WHERE id = %s", task_id)
    engine.handlers[Told.KIND] = Fake()
    await engine.run(task_id)
    [(_, event_type, data)] = await told(sql)
    assert (event_type, data["error"]["code"]) == ("task.failed", "bad_payload")


async def test_a_handler_may_say_more_than_the_result(engine: Engine, sql: Sql) -> None:
    async def record(uow: UnitOfWork, payload: Any, task: store.ClaimedTask, *_: Any) -> dict[str, Any]:
        await callbacks.publish_task_end(uow, task, "meeting.classified", {"meetingId": "7"})
        return {}

    engine.handlers[Told.KIND] = Fake(record=record)
    await engine.run(await ask(engine, URL))
    assert await told(sql) == [(URL, "meeting.classified", {"meetingId": "7"})]


async def test_a_run_that_is_tried_again_tells_nobody_yet(engine: Engine, sql: Sql) -> None:
    engine.handlers[Told.KIND] = Fake(says(Transient("vendor_down", "HTTP 503")))
    task_id = await ask(engine, URL)
    await engine.run(task_id)
    assert await told(sql) == []
    engine.handlers[Told.KIND] = Fake()
    await engine.run(task_id)
    assert [event for _, event, _ in await told(sql)] == ["test.done"]


async def test_who_asks_for_a_fresh_run_during_a_run_hears_of_the_fresh_one(engine: Engine, sql: Sql) -> None:
    async def work(*_: Any) -> str:
        assert await ask(engine, URL, rerun=True) == task_id
        return "old"

    engine.handlers[Told.KIND] = Fake(work)
    task_id = await ask(engine)
    assert (await engine.run(task_id))["status"] == "queued"
    assert await told(sql) == []
    engine.handlers[Told.KIND] = Fake(says("fresh"))
    assert (await engine.run(task_id))["status"] == "succeeded"
    [(_, _, data)] = await told(sql)
    assert data["result"] == {"result": "fresh"}


async def test_a_cancelled_task_tells_that_it_was_cancelled(engine: Engine, sql: Sql) -> None:
    task_id = await ask(engine, URL)
    async with unit_of_work(engine.runtime) as uow:
        await callbacks.publish(uow, await store.cancel(uow.session, [task_id]))
    [(_, event_type, data)] = await told(sql)
    assert (event_type, data["status"]) == ("task.cancelled", "cancelled")


async def test_an_overtaken_run_tells_nobody(engine: Engine, sql: Sql) -> None:
    async def record(*_: Any) -> dict[str, Any]:
        await sql("UPDATE tasks SET run_no = run_no + 1 WHERE kind = 'test.told'")
        return {}

    engine.handlers[Told.KIND] = Fake(record=record)
    await engine.run(await ask(engine, URL))
    assert await told(sql) == []
    assert len(await sql("SELECT id FROM task_callbacks")) == 1


async def test_nobody_who_asks_while_the_task_ends_is_forgotten(engine: Engine, sql: Sql) -> None:
    """Each of many who ask at the very moment in which runs end hears of a run that ended after they asked."""
    engine.handlers[Told.KIND] = Fake()
    urls = [f"{URL}/{number}" for number in range(40)]
    asked = asyncio.Event()

    async def keep_running() -> None:
        while not asked.is_set() or await sql("SELECT 1 FROM tasks WHERE kind = 'test.told' AND status = 'queued'"):
            for row in await sql("SELECT id FROM tasks WHERE kind = 'test.told' AND status = 'queued'"):
                await engine.runner.run(row["id"])

    running = asyncio.ensure_future(keep_running())
    await asyncio.gather(*(ask(engine, url) for url in urls))
    asked.set()
    await running
    assert [url for url, _, _ in await told(sql)] == sorted(urls)
    assert await sql("SELECT id FROM task_callbacks") == []


async def test_without_a_secret_no_callback_is_accepted() -> None:
    with pytest.raises(CallbacksNotConfigured):
        await callbacks.accept(CoreSettings(environment="test"), "https://1.1.1.1/")
    configured = CoreSettings(environment="test", callback_signing_secret="a secret")
    assert await callbacks.accept(configured, "https://1.1.1.1/x") == "https://1.1.1.1/x"
