"""Fetches one page of a source and stores it as it is; what follows is applied from there, however often."""

import asyncio
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common import sync_jobs
from contactship_common.models import SyncJob, SyncStatus
from contactship_common.models.base import new_id
from contactship_common.settings import SyncSettings
from contactship_common.tasks.catalog import SyncApply, SyncFetch
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Permanent, RetryLater, Skip, TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork
from contactship_sync_worker import pages
from contactship_sync_worker.handlers.running import running_job
from contactship_sync_worker.sources.base import Source

LONGEST_WAIT_SECONDS = 3_600.0
"""A source that goes on asking for pauses ends the run after this long; meanwhile nothing else asks it."""

_STORE = sa.text("""
    INSERT INTO sync_pages (id, job_id, number, records, next_cursor)
    VALUES (:id, :job_id, :number, CAST(:records AS jsonb), :next_cursor)
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to ask which source for."""

    source: str
    limit: int
    may_wait: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """Pages as they will be stored; usually one."""

    pages: list[str]
    records: int
    next_cursor: str | None


class FetchPage(Handler[SyncFetch, Wanted, Fetched]):
    def __init__(self, sources: dict[str, Source], settings: SyncSettings) -> None:
        self._sources = sources
        self._settings = settings

    async def load(self, session: AsyncSession, payload: SyncFetch, task: ClaimedTask) -> Wanted | Done | Skip:
        job = await session.get(SyncJob, payload.job_id)
        if job is None:
            return Skip("the run has been deleted")
        if job.status == SyncStatus.COMPLETED:
            return Done({"jobId": str(job.id)})
        if job.source not in self._sources:
            raise Permanent("unknown_source", "this worker knows no source with this name")
        left = self._settings.max_records_of(job.source) - job.records_processed
        return Wanted(job.source, min(job.batch_size, max(left, 1)), task.waited_seconds < LONGEST_WAIT_SECONDS)

    async def work(self, payload: SyncFetch, loaded: Wanted) -> Fetched:
        try:
            page = await self._sources[loaded.source].fetch(payload.cursor, loaded.limit)
        except RetryLater as error:
            if loaded.may_wait:
                raise
            raise Permanent(error.code, error.message) from None
        return Fetched(await asyncio.to_thread(pages.encoded, page.records), len(page.records), page.next_cursor)

    async def record(
        self, uow: UnitOfWork, payload: SyncFetch, task: ClaimedTask, loaded: Wanted, result: Fetched
    ) -> dict[str, Any]:
        job = await running_job(uow.session, payload.job_id)
        job.status = SyncStatus.IN_PROGRESS
        job.started_at = job.started_at or task.started_at
        ids = [new_id() for _ in result.pages]
        # Not as one array: escaping megabytes for it would keep the event loop busy for as long as applying them.
        stored = [
            {"id": page_id, "job_id": job.id, "number": payload.number + i, "records": records, "next_cursor": None}
            for i, (page_id, records) in enumerate(zip(ids, result.pages, strict=True))
        ]
        stored[-1]["next_cursor"] = result.next_cursor
        await uow.session.execute(_STORE, stored)
        ref = uow.enqueue(SyncApply(job_id=job.id, page_id=ids[0]))
        await uow.flush()
        return {"jobId": str(job.id), "fetched": result.records, "nextTaskId": str(ref.id)}

    async def failed(self, uow: UnitOfWork, payload: SyncFetch, task: ClaimedTask, error: TaskError) -> None:
        if await sync_jobs.fail(uow, payload.job_id, error.code, error.message):
            uow.audit("sync.fail", "sync_job", payload.job_id, code=error.code)
