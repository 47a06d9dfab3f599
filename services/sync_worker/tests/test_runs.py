"""Runs of a source from their start to their end, and every way in which they can break off."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from sync_testkit import Syncs
from vendors.people import BAD_OF_50, SKIPPED_OF_50, feed, person
from vendors.randomuser_server import RandomUserServer

from contactship_common import sync_jobs
from contactship_common.tasks import store
from contactship_common.uow import unit_of_work


def counters(job: dict[str, Any]) -> tuple[int, int, int, int]:
    return (job["records_processed"], job["records_created"], job["records_skipped"], job["records_failed"])


async def test_a_run_makes_leads_with_persons_phones_and_events(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(randomuser_url=f"{vendor.url}/api/?seed=x")
    job = await syncs.run(batch_size=10)
    assert job["status"] == "completed"
    assert counters(job) == (10, 10, 0, 0)
    assert job["started_at"] is not None
    assert job["completed_at"] is not None
    assert await syncs.count("persons") == await syncs.count("lead_events WHERE type = 'synced'") == 10
    [lead] = await syncs.sql(
        "SELECT * FROM leads JOIN persons ON persons.id = person_id WHERE external_id = %s", person(1)["login"]["uuid"]
    )
    told = person(1)
    assert (lead["source"], lead["status"], lead["email"]) == ("external_api", "new", told["email"])
    assert lead["metadata"] == {"location": "A Coruña, Spain", "profession": "ES"}
    assert lead["address"]["postcode"] == "S1XYZ"
    assert lead["synced_at"] is not None
    assert lead["phone_e164"] == "+5493412000001"
    assert await syncs.count("lead_phones WHERE phone_e164 = '+5493412000001'") == 1
    assert await syncs.count("sync_job_leads") == 10
    assert await syncs.count("sync_pages WHERE records IS NOT NULL OR applied_at IS NULL") == 0


async def test_the_same_page_again_creates_nothing(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(randomuser_url=f"{vendor.url}/api/?seed=x")
    await syncs.run()
    assert counters(await syncs.run()) == (10, 0, 10, 0)
    assert await syncs.count("leads") == await syncs.count("persons") == 10


async def test_bad_records_are_counted_and_listed_and_stop_nobody(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(randomuser_url=f"{vendor.url}/rough/?seed=x")
    job = await syncs.run(batch_size=100)
    assert counters(job) == (100, 100 - 2 * (BAD_OF_50 + SKIPPED_OF_50), 2 * SKIPPED_OF_50, 2 * BAD_OF_50)
    assert job["status"] == "completed"
    first = [(entry["position"], entry["code"]) for entry in job["errors"][:4]]
    assert first == [(8, "missing"), (12, "missing"), (18, "bad_email"), (24, "missing")]
    assert "nowhere" not in str(job["errors"])


async def test_the_list_of_errors_is_bounded_and_the_counter_exact(
    syncs: Syncs, vendor: RandomUserServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_jobs, "MAX_ERRORS_KEPT", 5)
    syncs.use(randomuser_url=f"{vendor.url}/rough/?seed=x")
    job = await syncs.run(batch_size=100)
    assert job["records_failed"] == 8
    assert len(job["errors"]) == 5


@pytest.mark.parametrize("style", ["pages", "cursor"])
async def test_a_feed_is_taken_in_page_by_page(syncs: Syncs, vendor: RandomUserServer, style: str) -> None:
    syncs.use(sync_sources={"crm": feed(vendor.url, style, total=25)})
    job = await syncs.run("crm", batch_size=10)
    assert counters(job) == (25, 25, 0, 0)
    assert await syncs.count("leads WHERE email = lower(email) AND external_id LIKE 'crm:%'") == 25


async def test_a_run_ends_at_its_limit(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(sync_sources={"crm": feed(vendor.url, "cursor", total=100, maxRecords=25)})
    job = await syncs.run("crm", batch_size=10)
    assert (job["status"], job["records_processed"]) == ("completed", 25)


async def test_an_answer_longer_than_asked_for_is_applied_in_pieces(
    syncs: Syncs, vendor: RandomUserServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contactship_sync_worker import pages

    monkeypatch.setattr(pages, "ROWS_A_PAGE", 10)
    told = feed(vendor.url, "cursor", total=25) | {"paging": {"style": "none"}}
    syncs.use(sync_sources={"crm": told | {"url": f"{vendor.url}/feed/cursor?total=25&limit=25"}})
    job = await syncs.run("crm", batch_size=10)
    assert counters(job) == (25, 25, 0, 0)
    assert await syncs.count("sync_pages") == 3


async def test_a_failed_fetch_keeps_its_reason_and_the_pages_before_it(syncs: Syncs, vendor: RandomUserServer) -> None:
    told = feed(vendor.url, "cursor", total=30)
    syncs.use(sync_sources={"crm": told})
    started = await syncs.start("crm")
    await syncs.step(started.job.id)
    await syncs.step(started.job.id)
    syncs.use(sync_sources={"crm": told | {"url": f"{vendor.url}/error/"}})
    task = await syncs.step(started.job.id)
    assert task is not None
    assert (task["status"], task["error"]["code"]) == ("failed", "source_error")
    job = await syncs.job(started.job.id)
    assert (job["status"], counters(job)) == ("failed", (10, 10, 0, 0))
    assert job["completed_at"] is not None
    [reason] = job["errors"]
    assert (reason["position"], reason["code"]) == (None, "source_error")
    assert "Uh oh" in reason["message"]
    assert await syncs.count("leads") == 10


async def test_a_failed_run_goes_on_when_its_task_is_retried(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(randomuser_url=f"{vendor.url}/error/")
    started = await syncs.start()
    assert (await syncs.finish(started.job.id))["status"] == "failed"
    syncs.use(randomuser_url=f"{vendor.url}/api/")
    async with unit_of_work(syncs.runtime) as uow:
        assert await store.retry(uow.session, started.task_id)
    job = await syncs.finish(started.job.id)
    assert (job["status"], job["records_created"], job["errors"]) == ("completed", 10, [])


async def test_a_retried_run_stands_back_for_a_newer_one(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(randomuser_url=f"{vendor.url}/error/")
    old = await syncs.start()
    await syncs.finish(old.job.id)
    syncs.use(randomuser_url=f"{vendor.url}/api/")
    newer = await syncs.start()
    async with unit_of_work(syncs.runtime) as uow:
        await store.retry(uow.session, old.task_id)
    task = await syncs.step(old.job.id)
    assert task is not None
    assert task["error"]["code"] == "source_busy"
    assert (await syncs.finish(newer.job.id))["status"] == "completed"


async def test_a_retry_applies_the_same_people(syncs: Syncs, vendor: RandomUserServer, monkeypatch: Any) -> None:
    """Without a seed every call brings other people: only what was stored can be the same."""
    from contactship_sync_worker.handlers import sync_apply

    syncs.use(randomuser_url=f"{vendor.url}/api/")
    started = await syncs.start()
    await syncs.step(started.job.id)
    [stored] = await syncs.sql("SELECT records FROM sync_pages")

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the worker broke while it applied")

    with monkeypatch.context() as patched:
        patched.setattr(sync_apply, "take_in", broken)
        task = await syncs.step(started.job.id)
        assert task is not None
        assert (task["status"], task["failures"]) == ("queued", 1)
    job = await syncs.finish(started.job.id)
    assert counters(job) == (10, 10, 0, 0)
    assert vendor.calls["/api/"] == 1
    taken = {row["email"] for row in await syncs.sql("SELECT email FROM leads")}
    assert taken == {record["email"] for record in stored["records"]}


async def test_a_page_that_cannot_be_applied_fails_the_run_with_a_reason(
    syncs: Syncs, vendor: RandomUserServer, monkeypatch: Any
) -> None:
    from contactship_sync_worker.handlers import sync_apply

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("always")

    monkeypatch.setattr(sync_apply, "take_in", broken)
    syncs.use(randomuser_url=f"{vendor.url}/api/")
    job = await syncs.run()
    assert job["status"] == "failed"
    assert job["errors"][0]["code"] == "internal_error"
    assert await syncs.count("leads") == 0


async def test_a_deleted_run_ends_quietly(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(randomuser_url=f"{vendor.url}/api/")
    started = await syncs.start()
    await syncs.sql("DELETE FROM sync_jobs")
    task = await syncs.step(started.job.id)
    assert task is not None
    assert task["status"] == "cancelled"


async def test_twenty_triggers_at_once_are_one_run(syncs: Syncs, vendor: RandomUserServer) -> None:
    started = await asyncio.gather(*(syncs.start() for _ in range(20)))
    assert len({each.job.id for each in started}) == len({each.task_id for each in started}) == 1
    assert [each.new for each in started].count(True) == 1
    assert await syncs.count("tasks") == await syncs.count("sync_jobs") == 1


async def test_an_abandoned_run_makes_room_for_the_next(syncs: Syncs, vendor: RandomUserServer) -> None:
    syncs.use(randomuser_url=f"{vendor.url}/api/")
    first = await syncs.start()
    async with unit_of_work(syncs.runtime) as uow:
        await store.cancel(uow.session, [first.task_id])
    second = await syncs.start()
    assert second.new
    old = await syncs.job(UUID(str(first.job.id)))
    assert (old["status"], old["errors"][0]["code"]) == ("failed", "abandoned")
