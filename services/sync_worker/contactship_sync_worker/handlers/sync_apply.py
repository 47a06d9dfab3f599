"""Turns a stored page into leads, in one transaction with the counters and whatever follows."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common import sync_jobs
from contactship_common.lead_intake import Intake, take_in
from contactship_common.models import SyncJob, SyncPage, SyncStatus
from contactship_common.outbound.payloads import publish_sync
from contactship_common.settings import SyncSettings
from contactship_common.tasks.catalog import SyncApply, SyncFetch
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Skip, TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork
from contactship_sync_worker import pages
from contactship_sync_worker.handlers.running import running_job
from contactship_sync_worker.records import Checked, check_all

log = structlog.get_logger()

_NOTE_LEADS = sa.text("""
    INSERT INTO sync_job_leads (job_id, lead_id) SELECT :job_id, unnest(CAST(:lead_ids AS uuid[]))
""")


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page as `FetchPage` left it."""

    records: str
    number: int
    next_cursor: str | None
    fetched_at: datetime


class ApplyPage(Handler[SyncApply, StoredPage, Checked]):
    def __init__(self, settings: SyncSettings) -> None:
        self._settings = settings

    async def load(self, session: AsyncSession, payload: SyncApply, task: ClaimedTask) -> StoredPage | Done | Skip:
        statement = sa.select(
            sa.cast(col(SyncPage.records), sa.Text),
            col(SyncPage.number),
            col(SyncPage.next_cursor),
            col(SyncPage.created_at),
            col(SyncPage.applied_at),
        ).where(col(SyncPage.id) == payload.page_id)
        row = (await session.execute(statement)).first()
        if row is None:
            return Skip("the run has been deleted")
        if row.applied_at is not None:
            return Done({"jobId": str(payload.job_id)})
        return StoredPage(row.records, row.number, row.next_cursor, row.created_at)

    async def work(self, payload: SyncApply, loaded: StoredPage) -> Checked:
        # Beside the event loop: thousands of records take a good part of a second.
        return await asyncio.to_thread(lambda: check_all(pages.decoded(loaded.records), loaded.fetched_at))

    async def record(
        self, uow: UnitOfWork, payload: SyncApply, task: ClaimedTask, loaded: StoredPage, result: Checked
    ) -> dict[str, Any]:
        job = await running_job(uow.session, payload.job_id)
        intake = await take_in(uow, result.leads, event="synced", actor=f"sync:{job.source}")
        if intake.created:
            await uow.session.execute(_NOTE_LEADS, {"job_id": job.id, "lead_ids": list(intake.created.values())})
        counts = _count(job, result, intake)
        applied = sa.update(SyncPage).where(col(SyncPage.id) == payload.page_id)
        await uow.session.execute(applied.values(records=sa.null(), applied_at=sa.func.now()))
        uow.audit("sync.apply", "sync_job", job.id, source=job.source, page=loaded.number, **counts)
        await self._go_on(uow, job, loaded)
        log.info("sync.applied", job_id=str(job.id), source=job.source, page=loaded.number, **counts)
        return {"jobId": str(job.id), **counts}

    async def _go_on(self, uow: UnitOfWork, job: SyncJob, page: StoredPage) -> None:
        """The next stored page, the next fetch, or the end."""
        following = await _page_after(uow.session, job.id, page.number)
        if following is not None:
            uow.enqueue(SyncApply(job_id=job.id, page_id=following))
        elif page.next_cursor is not None and job.records_processed < self._settings.max_records_of(job.source):
            uow.enqueue(SyncFetch(job_id=job.id, number=page.number + 1, cursor=page.next_cursor))
        else:
            job.status = SyncStatus.COMPLETED
            job.completed_at = sa.func.now()  # type: ignore[assignment]  # the database's clock
            uow.audit(
                "sync.complete",
                "sync_job",
                job.id,
                source=job.source,
                created=job.records_created,
                skipped=job.records_skipped,
                failed=job.records_failed,
            )
            await publish_sync(uow, job.id)

    async def failed(self, uow: UnitOfWork, payload: SyncApply, task: ClaimedTask, error: TaskError) -> None:
        if await sync_jobs.fail(uow, payload.job_id, error.code, error.message):
            uow.audit("sync.fail", "sync_job", payload.job_id, code=error.code)


def _count(job: SyncJob, checked: Checked, intake: Intake) -> dict[str, Any]:
    """Add the page to the job's counters and its first errors."""
    before = job.records_processed
    created, skipped, failed = len(intake.created), len(intake.skipped), len(checked.bad)
    job.records_created += created
    job.records_skipped += skipped
    job.records_failed += failed
    job.records_processed = before + created + skipped + failed
    room = max(0, sync_jobs.MAX_ERRORS_KEPT - len(job.errors))
    job.errors = [
        *job.errors,
        # Positions count from 1 through the whole run.
        *({"position": before + at + 1, "code": code, "message": message} for at, code, message in checked.bad[:room]),
    ]
    return {"created": created, "skipped": skipped, "failed": failed}


async def _page_after(session: AsyncSession, job_id: UUID, number: int) -> UUID | None:
    statement = sa.select(col(SyncPage.id)).where(
        col(SyncPage.job_id) == job_id, col(SyncPage.number) == number + 1, col(SyncPage.applied_at).is_(None)
    )
    return (await session.execute(statement)).scalar_one_or_none()
