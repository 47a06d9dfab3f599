"""Runs that end at the same moment: one statement for many, and each is told what became of its own."""

import asyncio
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from common_testkit import Engine, Plain

from contactship_common.tasks.store import ClaimedTask

DONE: dict[str, Any] = {"result": None, "error": None, "counted": False}


async def claimed(engine: Engine, count: int) -> list[ClaimedTask]:
    return [await engine.claim(await engine.enqueue(Plain(name=str(number)))) for number in range(count)]


async def test_many_share_a_commit_and_each_keeps_its_own_words(engine: Engine) -> None:
    tasks = await claimed(engine, 30)

    def ending(number: int) -> tuple[str, dict[str, Any]]:
        if number % 3:
            return "succeeded", DONE | {"result": {"number": number, "nothing": None}}
        return "failed", DONE | {"error": {"code": str(number), "message": "É"}, "counted": True}

    told = await asyncio.gather(
        *(
            engine.runtime.endings.finish(task, status, **rest)
            for task, (status, rest) in zip(tasks, map(ending, range(30)), strict=True)
        )
    )
    assert told == [ending(number)[0] for number in range(30)]
    for number, task in enumerate(tasks):
        row, (status, rest) = await engine.row(task.id), ending(number)
        assert (row["status"], row["result"], row["error"]) == (status, rest["result"], rest["error"])
        assert (row["failures"], row["slot"], row["lease_until"]) == (int(rest["counted"]), None, None)
        assert row["finished_at"] is not None
    [commits] = await engine.sql("SELECT count(DISTINCT xmin::text) AS n FROM tasks")
    assert commits["n"] == 1


async def test_what_somebody_asked_for_once_more_is_queued_again(engine: Engine) -> None:
    again, other = await claimed(engine, 2)
    await engine.sql("UPDATE tasks SET rerun = true WHERE id = %s", again.id)
    told = await asyncio.gather(*(engine.runtime.endings.finish(task, "succeeded", **DONE) for task in (again, other)))
    assert told == ["queued", "succeeded"]
    row = await engine.row(again.id)
    assert (row["status"], row["rerun"], row["started_at"], row["finished_at"]) == ("queued", False, None, None)


async def test_an_overtaken_run_ends_nothing_and_spoils_no_other(engine: Engine) -> None:
    mine, other = await claimed(engine, 2)
    old = replace(mine, run_no=mine.run_no - 1)
    runs = [(old, "failed"), (mine, "succeeded"), (other, "succeeded")]
    told = await asyncio.gather(*(engine.runtime.endings.finish(task, status, **DONE) for task, status in runs))
    assert told == [None, "succeeded", "succeeded"]
    assert (await engine.row(mine.id))["status"] == "succeeded"


async def test_a_task_that_somebody_has_locked_holds_up_no_other(engine: Engine) -> None:
    locked, *others = await claimed(engine, 3)
    async with engine.runtime.db.sessions() as holder, holder.begin():
        await holder.execute(sa.text("SELECT 1 FROM tasks WHERE id = :id FOR UPDATE"), {"id": locked.id})
        ends = [asyncio.create_task(engine.runtime.endings.finish(t, "succeeded", **DONE)) for t in (locked, *others)]
        assert [await end for end in ends[1:]] == ["succeeded"] * 2
        assert not ends[0].done()
    assert await ends[0] == "succeeded"


async def test_one_that_the_database_refuses_fails_alone(engine: Engine) -> None:
    broken, *others = await claimed(engine, 3)
    refused = DONE | {"result": {"text": "\x00"}}  # no text of PostgreSQL
    ends = [engine.runtime.endings.finish(broken, "succeeded", **refused)]
    ends += [engine.runtime.endings.finish(task, "succeeded", **DONE) for task in others]
    told = await asyncio.gather(*ends, return_exceptions=True)
    assert isinstance(told[0], Exception)
    assert told[1:] == ["succeeded"] * 2
    assert (await engine.row(broken.id))["status"] == "running"
