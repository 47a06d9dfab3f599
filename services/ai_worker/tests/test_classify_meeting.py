"""Classifying a meeting: what is stored, when nothing is paid, and what a failure leaves alone."""

import asyncio

from classify_testkit import GOOD, Desk, says, until
from vendors.server import Say

from contactship_common.classification.categories import load_categories
from contactship_common.tasks.catalog import ClassifyMeeting


async def test_the_whole_answer_is_stored(desk: Desk) -> None:
    desk.vendor.script(says())
    task = await desk.classify()
    assert (task["status"], task["result"]["stored"]) == ("succeeded", True), task["error"]
    row = await desk.current()
    assert row["labels"] == {c.name: GOOD[c.name] for c in load_categories()}
    assert row["answer"] == {
        name: GOOD[name] for name in (*row["labels"], "urgency", "language", "sentiment", "lostClientBadMeeting")
    }
    assert (row["sentiment"], row["language"], row["urgency"]) == ("positive", "es", False)
    assert float(row["confidence_score"]) == 0.8
    assert (row["key_topics"], row["action_items"]) == (GOOD["keyTopics"], GOOD["actionItems"])
    assert row["provider"] == desk.vendor.vendor
    assert row["prompt_version"].startswith("1-")
    assert row["processing_time_ms"] >= 1
    [audit] = await desk.handlers.sql("SELECT actor, action FROM audit_logs WHERE entity_id = %s", str(desk.meeting_id))
    assert audit == {"actor": "ai", "action": "meeting.classify"}


async def test_an_answer_made_from_the_schema_alone_is_accepted(desk: Desk) -> None:
    """The vendor knows nothing but the schema that was sent: if that loses a limit, its answer breaks ours."""
    task = await desk.classify()
    assert task["status"] == "succeeded", task["error"]
    assert desk.vendor.total == 1
    assert (await desk.current())["labels"]["businessSector"] == "retail"


async def test_nothing_is_paid_for_a_transcript_that_was_classified(desk: Desk) -> None:
    await desk.classify()
    task = await desk.classify()
    assert (task["status"], task["result"]) == ("succeeded", {"cached": True})
    assert desk.vendor.total == 1


async def test_a_forced_run_replaces_the_result_and_keeps_it_as_history(desk: Desk) -> None:
    desk.vendor.script(says(times=1, sentiment="negative"), says(sentiment="neutral"))
    await desk.classify()
    await desk.classify(force=True)
    assert [(row["sentiment"], row["is_current"]) for row in await desk.rows()] == [
        ("negative", False),
        ("neutral", True),
    ]


async def test_a_changed_transcript_is_classified_again(desk: Desk) -> None:
    await desk.classify()
    await desk.change_transcript("Otra conversación, más larga que la primera.")
    assert (await desk.classify())["result"]["stored"]
    assert "Otra conversación" in desk.vendor.calls[-1].prompt


async def test_the_lead_behind_the_client_has_new_facts(desk: Desk) -> None:
    [before] = await desk.handlers.sql("SELECT facts_changed_at FROM leads")
    await desk.classify()
    [after] = await desk.handlers.sql("SELECT facts_changed_at FROM leads")
    assert after["facts_changed_at"] > before["facts_changed_at"]


class TestCorrections:
    async def test_a_correction_survives_a_forced_run_and_the_models_own_value_is_kept(self, desk: Desk) -> None:
        await desk.correct("businessSector", "insurance")
        await desk.correct("vambeProduct", "iris")
        await desk.correct("vambeProduct", None)
        await desk.correct("sentiment", "negative")
        desk.vendor.script(says(vambeProduct="axis"))
        for force in (False, True):
            await desk.classify(force=force)
            row = await desk.current()
            assert (row["labels"]["businessSector"], row["labels"]["vambeProduct"]) == ("insurance", None)
            assert row["sentiment"] == "negative"
            assert row["corrected_fields"] == ["businessSector", "sentiment", "vambeProduct"]
            assert (row["answer"]["businessSector"], row["answer"]["vambeProduct"]) == ("retail", "axis")
            assert row["answer"]["sentiment"] == "positive"

    async def test_a_correction_during_the_call_counts(self, desk: Desk) -> None:
        desk.vendor.script(says())
        desk.vendor.latency = 0.3
        run = asyncio.ensure_future(desk.classify())
        await until(lambda: desk.vendor.total == 1)
        await desk.correct("businessSector", "mining")
        await run
        assert (await desk.current())["labels"]["businessSector"] == "mining"


class TestMeanwhile:
    async def test_a_deleted_meeting_and_one_without_transcript_cancel_the_task_unpaid(self, desk: Desk) -> None:
        await desk.handlers.sql("UPDATE meetings SET transcript = NULL")
        assert (await desk.classify())["status"] == "cancelled"
        await desk.handlers.sql("DELETE FROM meetings")
        assert (await desk.classify())["status"] == "cancelled"
        assert desk.vendor.total == 0

    async def test_a_meeting_deleted_during_the_call_ends_the_task_and_keeps_the_bill(self, desk: Desk) -> None:
        desk.vendor.latency = 0.3
        run = asyncio.ensure_future(desk.classify())
        await until(lambda: desk.vendor.total == 1)
        await desk.handlers.sql("DELETE FROM meetings")
        task = await run
        assert (task["status"], task["result"]["stored"]) == ("succeeded", False)
        assert len(await desk.handlers.sql("SELECT 1 FROM ai_calls")) == 1

    async def test_a_transcript_that_changed_during_the_call_leaves_an_outdated_result(self, desk: Desk) -> None:
        desk.vendor.latency = 0.3
        run = asyncio.ensure_future(desk.classify())
        await until(lambda: desk.vendor.total == 1)
        await desk.change_transcript("Nueva versión de la conversación.")
        assert (await run)["result"]["stored"]
        [meeting] = await desk.handlers.sql("SELECT transcript_changed_at FROM meetings")
        assert (await desk.current())["transcript_at"] < meeting["transcript_changed_at"]

    async def test_an_older_run_never_overwrites_a_newer_one(self, desk: Desk) -> None:
        desk.vendor.script(
            Say("text", text=says(sentiment="negative").text, match="perdemos clientes", latency=1.0, times=None),
            Say("text", text=says(sentiment="positive").text, match="Nueva", times=None),
        )
        older = await desk.handlers.enqueue(ClassifyMeeting(meeting_id=desk.meeting_id))
        # As a failed task that was retried by hand: without its slot it may run beside a newer one.
        await desk.handlers.sql("UPDATE tasks SET slot = NULL WHERE id = %s", older)
        run = asyncio.ensure_future(desk.handlers.runner.run(older))
        await until(lambda: desk.vendor.total == 1)
        await desk.change_transcript("Nueva versión de la conversación.")
        await desk.handlers.do(ClassifyMeeting(meeting_id=desk.meeting_id))
        await run
        [task] = await desk.handlers.sql("SELECT status, result FROM tasks WHERE id = %s", older)
        assert (task["status"], task["result"]["stored"]) == ("succeeded", False)
        assert [row["sentiment"] for row in await desk.rows()] == ["positive"]

    async def test_a_run_on_the_present_transcript_replaces_one_on_an_older_that_ended_first(self, desk: Desk) -> None:
        desk.vendor.script(
            Say("text", text=says(sentiment="negative").text, match="perdemos clientes", latency=0.3, times=None),
            Say("text", text=says(sentiment="positive").text, match="Nueva", latency=0.8, times=None),
        )
        older = await desk.handlers.enqueue(ClassifyMeeting(meeting_id=desk.meeting_id))
        await desk.handlers.sql("UPDATE tasks SET slot = NULL WHERE id = %s", older)
        first = asyncio.ensure_future(desk.handlers.runner.run(older))
        await until(lambda: desk.vendor.total == 1)
        await desk.change_transcript("Nueva versión de la conversación.")
        newer = await desk.handlers.enqueue(ClassifyMeeting(meeting_id=desk.meeting_id))
        second = asyncio.ensure_future(desk.handlers.runner.run(newer))
        await asyncio.gather(first, second)
        assert [(row["sentiment"], row["is_current"]) for row in await desk.rows()] == [
            ("negative", False), ("positive", True),
        ]  # fmt: skip

    async def test_runs_at_the_same_moment_leave_one_current_row(self, desk: Desk) -> None:
        desk.vendor.latency = 0.1
        tasks = []
        for _ in range(6):
            tasks.append(await desk.handlers.enqueue(ClassifyMeeting(meeting_id=desk.meeting_id, force=True)))
            await desk.handlers.sql("UPDATE tasks SET slot = NULL")
        await asyncio.gather(*(desk.handlers.runner.run(task) for task in tasks))
        rows = await desk.handlers.sql("SELECT status, result FROM tasks")
        assert {row["status"] for row in rows} == {"succeeded"}
        assert len([row for row in await desk.rows() if row["is_current"]]) == 1
        assert len(await desk.rows()) == sum(row["result"]["stored"] for row in rows)
