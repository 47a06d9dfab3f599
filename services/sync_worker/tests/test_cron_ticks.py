"""Ticks of the cron: once each, however many schedulers look, and made up for after a pause."""

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sync_testkit import Syncs
from vendors.randomuser_server import RandomUserServer

from contactship_common.cron import Cron, parse_cron
from contactship_common.settings import SyncSettings
from contactship_sync_worker.cron import CronTicks

SATURDAY = datetime(2026, 11, 21, 2, 0, 5, tzinfo=UTC)
SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)


def scheduler(syncs: Syncs, cron: str = "0 * * * *", **settings: Any) -> CronTicks:
    return CronTicks(syncs.runtime, SyncSettings(sync_cron=cron, **settings))


class Clock:
    """The database's time as a scheduler reads it, set by the test."""

    def __init__(self, *schedulers: CronTicks) -> None:
        self.now = SATURDAY
        for each in schedulers:
            each._now = self.read  # type: ignore[method-assign]

    async def read(self) -> datetime:
        return self.now

    def at(self, *, hour: int, minute: int = 0, second: int = 0) -> None:
        self.now = SATURDAY.replace(hour=hour, minute=minute, second=second)


async def ended(syncs: Syncs, created: datetime, completed: datetime | None) -> None:
    """A run of earlier."""
    status = "completed" if completed else "in_progress"
    [job] = await syncs.sql(
        "INSERT INTO sync_jobs (id, source, status, batch_size, records_processed, records_created, records_skipped,"
        " records_failed, errors, created_at, completed_at) VALUES (gen_random_uuid(), 'randomuser', %s, 1, 0, 0, 0, 0,"
        " '[]', %s, %s) RETURNING id",
        status,
        created,
        completed,
    )
    if completed is None:
        await syncs.sql(
            "INSERT INTO tasks (id, kind, queue, priority, payload, subject_id, holds, rerun, status, run_no, failures,"
            " max_attempts) VALUES (gen_random_uuid(), 'sync.fetch', 'sync', 100, '{}', %s, 'ended', false, 'running',"
            " 1, 0, 5)",
            job["id"],
        )


async def test_a_tick_happens_once_however_many_schedulers_look(syncs: Syncs, vendor: RandomUserServer) -> None:
    schedulers = [scheduler(syncs) for _ in range(5)]
    clock = Clock(*schedulers)
    clock.at(hour=2, minute=59, second=59)
    await asyncio.gather(*(each.look() for each in schedulers))
    assert await syncs.count("sync_jobs") == 0
    clock.at(hour=3)
    started = await asyncio.gather(*(each.look() for each in schedulers))
    assert list(itertools.chain(*started)) == ["randomuser"]
    [job] = await syncs.sql("SELECT * FROM sync_jobs")
    assert job["scheduled_for"] == SATURDAY.replace(hour=3, second=0)
    assert (job["requested_by"], job["batch_size"]) == ("scheduler", 10)
    assert await syncs.count("tasks") == 1
    # A scheduler that starts later does not see it as missed, though the run has ended.
    syncs.use(randomuser_url=f"{vendor.url}/api/")
    await syncs.finish(job["id"])
    late = scheduler(syncs)
    Clock(late).at(hour=3, minute=30)
    assert await late.look() == []


async def test_a_missed_tick_is_made_up_for_once(syncs: Syncs) -> None:
    await ended(syncs, SATURDAY.replace(hour=0), SATURDAY.replace(hour=0, minute=1))
    schedulers = [scheduler(syncs), scheduler(syncs)]
    Clock(*schedulers).at(hour=2, minute=45)
    started = await asyncio.gather(*(each.look() for each in schedulers))
    assert list(itertools.chain(*started)) == ["randomuser"]
    [job] = await syncs.sql("SELECT scheduled_for FROM sync_jobs WHERE scheduled_for IS NOT NULL")
    assert job["scheduled_for"] == SATURDAY.replace(hour=2, second=0), "only the latest, the older one is over"


async def test_a_new_installation_does_not_begin_with_a_missed_tick(syncs: Syncs) -> None:
    first = scheduler(syncs)
    Clock(first)
    assert await first.look() == []


async def test_a_tick_during_a_run_is_skipped_for_good(syncs: Syncs) -> None:
    ticking = scheduler(syncs)
    clock = Clock(ticking)
    clock.at(hour=2, minute=30)
    await ticking.look()
    await ended(syncs, SATURDAY.replace(hour=2, minute=50), None)
    clock.at(hour=3)
    assert await ticking.look() == []
    await syncs.sql("UPDATE sync_jobs SET status = 'completed', completed_at = %s", SATURDAY.replace(hour=3, minute=5))
    restarted = scheduler(syncs)
    Clock(restarted).at(hour=3, minute=10)
    assert await restarted.look() == []
    clock.at(hour=4)
    assert await ticking.look() == ["randomuser"]


async def test_each_source_can_have_its_own_times(syncs: Syncs) -> None:
    sources: dict[str, Any] = {
        "crm": {"type": "http_json", "cron": "*/10 * * * *", "batchSize": 500},
        "quiet": {"type": "http_json", "cron": "off"},
    }
    ticking = scheduler(syncs, "@hourly", sync_sources=sources)
    clock = Clock(ticking)
    await ticking.look()
    clock.at(hour=2, minute=10)
    assert await ticking.look() == ["crm"]
    assert await syncs.count("sync_jobs WHERE batch_size = 500") == 1
    assert set(scheduler(syncs, "off", sync_sources=sources).crons) == {"crm"}


async def test_without_any_cron_there_is_nothing_to_do(syncs: Syncs) -> None:
    await scheduler(syncs, "off").run(asyncio.Event())


@pytest.mark.parametrize("text", ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "@weekly", "0 0 * * SUN", " 0  0 * * 0 "])
def test_sunday_has_many_names(text: str) -> None:
    cron = parse_cron(text)
    assert cron is not None
    assert cron.following(SATURDAY) == SUNDAY
    assert cron.previous(SUNDAY) == SUNDAY
    assert cron.previous(SUNDAY.replace(microsecond=1)) == SUNDAY


@pytest.mark.parametrize("text", ["x", "* * *", "60 * * * *", "0 0 31 2 *", "@sometimes", "* * * * * * *"])
def test_a_wrong_cron_is_refused_with_the_variables_name(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SyncSettings(SYNC_CRON=text)
    assert caught.value.errors()[0]["loc"] == ("SYNC_CRON",)
    with pytest.raises(ValidationError) as caught:
        SyncSettings(SYNC_SOURCES={"crm": {"type": "http_json", "cron": text}})
    assert caught.value.errors()[0]["loc"] == ("SYNC_SOURCES", "crm", "cron")


@pytest.mark.parametrize("text", ["off", "OFF", "", "  "])
def test_off_is_no_cron(text: str) -> None:
    assert parse_cron(text) is None


def test_six_fields_begin_with_seconds() -> None:
    assert Cron("*/2 * * * * *").previous(SATURDAY) == SATURDAY.replace(second=4)
