"""A filter over leads becomes summary tasks, a page a run."""

from typing import Any
from uuid import UUID

import pytest
from handler_testkit import Handlers

from contactship_ai_worker.handlers import summarize_matching
from contactship_common.tasks.catalog import LeadSummary, LeadSummaryBatch


@pytest.fixture(autouse=True)
def _three_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarize_matching, "LEADS_A_PAGE", 3)


async def _expand(handlers: Handlers, **wanted: Any) -> tuple[UUID, list[dict[str, Any]]]:
    """Run the expansion to its end; returns the batch and the rows of its runs, oldest first."""
    batch_id = await handlers.batch()
    await handlers.enqueue(LeadSummaryBatch(batch_id=batch_id, **wanted))
    runs = []
    while waiting := await handlers.sql(
        "SELECT id FROM tasks WHERE kind = 'lead.summary_batch' AND status = 'queued' AND subject_id = %s", batch_id
    ):
        assert len(waiting) == 1
        runs.append(await handlers.run(waiting[0]["id"]))
    return batch_id, runs


async def _batch(handlers: Handlers, batch_id: UUID) -> dict[str, Any]:
    [row] = await handlers.sql("SELECT expanding, already_done FROM batches WHERE id = %s", batch_id)
    return row


async def _subjects(handlers: Handlers, batch_id: UUID) -> list[UUID]:
    rows = await handlers.sql(
        "SELECT subject_id FROM batch_items JOIN tasks ON tasks.id = task_id WHERE batch_id = %s", batch_id
    )
    return [row["subject_id"] for row in rows]


@pytest.mark.parametrize(("count", "runs"), [(0, 1), (2, 1), (3, 2), (4, 2), (8, 3)])
async def test_every_lead_gets_one_task_however_many_pages_there_are(handlers: Handlers, count: int, runs: int) -> None:
    leads = [await handlers.lead() for _ in range(count)]
    batch_id, done = await _expand(handlers)
    assert [run["status"] for run in done] == ["succeeded"] * runs
    assert sorted(await _subjects(handlers, batch_id)) == sorted(leads)
    assert await _batch(handlers, batch_id) == {"expanding": False, "already_done": 0}
    assert len(await handlers.sql("SELECT 1 FROM tasks WHERE kind = 'lead.summary'")) == count


async def test_only_leads_that_match_are_taken(handlers: Handlers) -> None:
    wanted = await handlers.lead(status="qualified", source="csv")
    await handlers.lead(status="qualified", source="manual")
    await handlers.lead(status="lost", source="csv")
    batch_id, _ = await _expand(handlers, status="qualified", source="csv")
    assert await _subjects(handlers, batch_id) == [wanted]


async def test_fresh_leads_count_as_done_and_get_no_task(handlers: Handlers) -> None:
    leads = [await handlers.lead() for _ in range(4)]
    for lead_id in leads[:2]:
        await handlers.do(LeadSummary(lead_id=lead_id))
    batch_id, _ = await _expand(handlers)
    assert sorted(await _subjects(handlers, batch_id)) == sorted(leads[2:])
    assert await _batch(handlers, batch_id) == {"expanding": False, "already_done": 2}


async def test_without_summary_leaves_stale_ones_alone(handlers: Handlers) -> None:
    stale, never = await handlers.lead(), await handlers.lead()
    await handlers.do(LeadSummary(lead_id=stale))
    await handlers.sql("UPDATE leads SET facts_changed_at = clock_timestamp()")
    first, _ = await _expand(handlers, without_summary=True)
    assert await _subjects(handlers, first) == [never]
    second, _ = await _expand(handlers)
    assert sorted(await _subjects(handlers, second)) == sorted([stale, never])


async def test_a_lead_that_waits_already_joins_with_the_task_it_has(handlers: Handlers) -> None:
    lead_id = await handlers.lead()
    task_id = await handlers.enqueue(LeadSummary(lead_id=lead_id))
    batches = [(await _expand(handlers))[0] for _ in range(2)]
    rows = await handlers.sql("SELECT batch_id, task_id FROM batch_items ORDER BY batch_id")
    assert rows == [{"batch_id": batch_id, "task_id": task_id} for batch_id in batches]


async def test_an_expansion_that_fails_ends_the_batch_with_what_it_has(
    handlers: Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await handlers.lead()
    batch_id = await handlers.batch()
    first = await handlers.do(LeadSummaryBatch(batch_id=batch_id))
    assert first["status"] == "succeeded"
    [following] = await handlers.sql("SELECT id FROM tasks WHERE kind = 'lead.summary_batch' AND status = 'queued'")

    async def broken(*_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(summarize_matching, "add_to_batch", broken)
    retried = await handlers.run(following["id"])
    assert (retried["status"], retried["failures"]) == ("queued", 1)
    assert (await _batch(handlers, batch_id))["expanding"]
    failed = await handlers.run(following["id"])
    assert (failed["status"], failed["error"]["code"]) == ("failed", "internal_error")
    assert not (await _batch(handlers, batch_id))["expanding"]
    # The page that failed left nothing behind: neither tasks nor half a batch.
    assert len(await _subjects(handlers, batch_id)) == 3
    assert len(await handlers.sql("SELECT 1 FROM tasks WHERE kind = 'lead.summary'")) == 3
