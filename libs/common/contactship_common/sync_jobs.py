"""Starting and ending runs of a source: one at a time each, however many ask."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.errors import Unavailable
from contactship_common.models import SyncJob, SyncStatus, Task, TaskStatus
from contactship_common.models.base import new_id
from contactship_common.outbound.payloads import publish_sync
from contactship_common.tasks.catalog import SyncFetch
from contactship_common.uow import UnitOfWork

MAX_ERRORS_KEPT = 100
"""A job lists its first errors; `records_failed` counts all of them."""

RUNNING = (SyncStatus.PENDING, SyncStatus.IN_PROGRESS)
_OPEN_TASK = (TaskStatus.QUEUED, TaskStatus.RUNNING)
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Started:
    """A run, and the task that works on it now. `new`: it was not going on already."""

    job: SyncJob
    task_id: UUID
    new: bool


async def start(uow: UnitOfWork, source: str, *, batch_size: int) -> Started:
    """Start a run of this source, or find the one that is going on.

    Raises:
        Unavailable: runs began and ended so fast that none could be found; practically never.
    """
    await end_abandoned(uow, source)
    for _ in range(_TRIES):
        if (going_on := await _going_on(uow.session, source)) is not None:
            return going_on
        row = {"id": new_id(), "source": source, "batch_size": batch_size, "requested_by": uow.context.actor}
        statement = insert(SyncJob).values(**_values(row)).on_conflict_do_nothing().returning(SyncJob)
        job = (await uow.session.execute(statement)).scalar_one_or_none()
        if job is not None:
            return Started(job, await _set_going(uow, job), new=True)
    raise Unavailable


async def start_tick(
    uow: UnitOfWork, source: str, *, batch_size: int, scheduled_for: datetime, up_since: datetime
) -> SyncJob | None:
    """Start the run of one tick of the cron; None: the tick needs none. Any number of schedulers may ask.

    A tick is skipped while a run of its source goes on, for good. A tick before `up_since` was missed; it is made up
    for if the source had been run before it, so a new installation does not begin with a missed tick.
    """
    await end_abandoned(uow, source)
    jobs = sa.select(sa.literal(1)).where(col(SyncJob.source) == source, col(SyncJob.created_at) < scheduled_for)
    ran_over_it = jobs.where(sa.or_(col(SyncJob.completed_at).is_(None), col(SyncJob.completed_at) > scheduled_for))
    wanted = ~ran_over_it.exists()
    if scheduled_for < up_since:
        wanted = sa.and_(wanted, jobs.exists())
    row = _values(
        {
            "id": new_id(),
            "source": source,
            "batch_size": batch_size,
            "requested_by": uow.context.actor,
            "scheduled_for": scheduled_for,
        }
    )
    columns = SyncJob.__table__.c  # type: ignore[attr-defined]
    given = sa.select(
        *(sa.cast(sa.literal(value, columns[name].type), columns[name].type) for name, value in row.items())
    )
    statement = insert(SyncJob).from_select(list(row), given.where(wanted))
    job = (await uow.session.execute(statement.on_conflict_do_nothing().returning(SyncJob))).scalar_one_or_none()
    if job is not None:
        await _set_going(uow, job)
    return job


async def fail(uow: UnitOfWork, job_id: UUID, code: str, message: str) -> bool:
    """End a run with the reason that stopped it; what it brought in stays. False: it had ended already."""
    statement = (
        sa.update(SyncJob)
        .where(col(SyncJob.id) == job_id, col(SyncJob.status).in_(RUNNING))
        .values(
            status=SyncStatus.FAILED,
            completed_at=sa.func.now(),
            updated_at=sa.func.now(),
            errors=_with(_reason(code, message)),
        )
        .returning(col(SyncJob.id))
    )
    if (await uow.session.execute(statement)).first() is None:
        return False
    await publish_sync(uow, job_id)
    return True


async def end_abandoned(uow: UnitOfWork, source: str) -> None:
    """End a run that no task works on any more, for example after somebody cancelled its task in the table. A live
    run has an open task at every moment: the next is queued in the transaction that ends the one before."""
    working = sa.select(sa.literal(1)).where(col(Task.subject_id) == col(SyncJob.id), col(Task.status).in_(_OPEN_TASK))
    statement = (
        sa.update(SyncJob)
        .where(col(SyncJob.source) == source, col(SyncJob.status).in_(RUNNING), ~working.exists())
        .values(
            status=SyncStatus.FAILED,
            completed_at=sa.func.now(),
            updated_at=sa.func.now(),
            errors=_with(_reason("abandoned", "no task works on this run any more")),
        )
        .returning(col(SyncJob.id))
    )
    ended = await uow.session.execute(statement.execution_options(synchronize_session=False))
    for job_id in ended.scalars().all():
        await publish_sync(uow, job_id)


def _reason(code: str, message: str) -> dict[str, Any]:
    """An entry of `errors` about the whole run, not about one record."""
    return {"position": None, "code": code, "message": message}


def _with(entry: dict[str, Any]) -> Any:
    return col(SyncJob.errors).op("||")(sa.cast(sa.literal([entry], JSONB), JSONB))


def _values(given: dict[str, Any]) -> dict[str, Any]:
    counters = dict.fromkeys(("records_processed", "records_created", "records_skipped", "records_failed"), 0)
    return {**given, "status": SyncStatus.PENDING.value, "errors": [], **counters}


async def _going_on(session: AsyncSession, source: str) -> Started | None:
    statement = (
        sa.select(SyncJob, col(Task.id))
        .join(Task, col(Task.subject_id) == col(SyncJob.id))
        .where(col(SyncJob.source) == source, col(SyncJob.status).in_(RUNNING), col(Task.status).in_(_OPEN_TASK))
        .order_by(col(Task.id).desc())
        .limit(1)
    )
    row = (await session.execute(statement)).first()
    return Started(row[0], row[1], new=False) if row else None


async def _set_going(uow: UnitOfWork, job: SyncJob) -> UUID:
    ref = uow.enqueue(SyncFetch(job_id=job.id))
    uow.audit("sync.start", "sync_job", job.id, source=job.source, batch_size=job.batch_size)
    await uow.flush()
    return ref.id
