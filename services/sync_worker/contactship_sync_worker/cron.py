"""The cron's ticks: a row `(source, scheduled_for)` decides which scheduler starts a run, so a tick happens once."""

import asyncio
from datetime import datetime

import sqlalchemy as sa
import structlog

from contactship_common import sync_jobs
from contactship_common.cron import Cron
from contactship_common.models.base import new_id
from contactship_common.periodic import periodically
from contactship_common.runtime import Runtime
from contactship_common.settings import SyncSettings
from contactship_common.uow import Context, unit_of_work

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 1.0


class CronTicks:
    """Looks once a second which ticks have come, by the database's clock. Any number may run side by side."""

    def __init__(self, runtime: Runtime, settings: SyncSettings, *, every_seconds: float = LOOK_EVERY_SECONDS) -> None:
        self.runtime = runtime
        self.settings = settings
        self.every_seconds = every_seconds
        self.crons: dict[str, Cron] = {
            source: cron for source in settings.sources if (cron := settings.cron_of(source)) is not None
        }
        self._up_since: datetime | None = None
        self._seen: dict[str, datetime] = {}

    async def look(self) -> list[str]:
        """Start what has come since the last look; returns the sources that were started here."""
        now = await self._now()
        self._up_since = self._up_since or now
        started = []
        for source, cron in self.crons.items():
            # The latest tick is under one period old by definition; older ones are not made up for.
            tick = cron.previous(now)
            if tick is None or self._seen.get(source) == tick:
                continue
            if await self._start(source, tick, self._up_since):
                started.append(source)
            self._seen[source] = tick
        return started

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set; without any cron there is nothing to look at."""
        if self.crons:
            await periodically("cron", self.look, every_seconds=self.every_seconds, stop=stop)

    async def _now(self) -> datetime:
        async with self.runtime.db.reading() as session:
            now: datetime = (await session.execute(sa.select(sa.func.now()))).scalar_one()
        return now

    async def _start(self, source: str, tick: datetime, up_since: datetime) -> bool:
        request_id = new_id().hex  # a tick has no caller: this id finds what came of it
        async with unit_of_work(self.runtime, Context(actor="scheduler", request_id=request_id)) as uow:
            job = await sync_jobs.start_tick(
                uow,
                source,
                batch_size=self.settings.batch_size_of(source),
                scheduled_for=tick,
                up_since=up_since,
            )
        if job is not None:
            log.info("cron.ticked", source=source, tick=tick.isoformat(), request_id=request_id)
        return job is not None
