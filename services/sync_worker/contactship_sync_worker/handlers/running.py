"""The run that a page belongs to, held while the page is written down."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.models import SyncJob, SyncStatus
from contactship_common.sync_jobs import RUNNING
from contactship_common.tasks.outcomes import Permanent


async def running_job(session: AsyncSession, job_id: UUID) -> SyncJob:
    """The job, locked until the commit. One that had failed goes on: somebody retried the task it failed with.

    Raises:
        Permanent: it was deleted, or its source is in another run by now.
    """
    statement = sa.select(SyncJob).where(col(SyncJob.id) == job_id).with_for_update()
    job = (await session.execute(statement)).scalar_one_or_none()
    if job is None:
        raise Permanent("sync_job_gone", "the run has been deleted")
    if job.status == SyncStatus.FAILED:
        # The unique index has the last word; this only says it in words.
        others = sa.select(sa.literal(1)).where(col(SyncJob.source) == job.source, col(SyncJob.status).in_(RUNNING))
        if (await session.execute(others.limit(1))).first() is not None:
            raise Permanent("source_busy", "another run of this source is going on")
        job.status = SyncStatus.IN_PROGRESS
        job.completed_at = None
        # `completed_at` and reasons of the whole run belong to the end it had.
        job.errors = [entry for entry in job.errors if entry.get("position") is not None]
        await session.flush()
    job.updated_at = sa.func.now()  # type: ignore[assignment]  # the database's clock
    return job
