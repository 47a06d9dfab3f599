"""Queueing what is not classified yet, however much that is."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.classification.freshness import has_classification
from contactship_common.models.meeting import Meeting
from contactship_common.models.task import Task, TaskStatus
from contactship_common.tasks.catalog import ClassifyMeeting
from contactship_common.uow import UnitOfWork

BULK_PRIORITY = 200
"""Behind what somebody asks for one by one and waits for."""


@dataclass(frozen=True, slots=True)
class Queued:
    """`total` meetings have a transcript and no classification; `queued` of them had no open task and have one now."""

    queued: int
    total: int


async def queue_unclassified(uow: UnitOfWork) -> Queued:
    """Queue every meeting that has a transcript and neither a current classification nor an open task, in one
    statement. At the same moment twice: each meeting once."""
    unclassified = col(Meeting.transcript).is_not(None), ~has_classification()
    counted = sa.select(sa.func.count()).select_from(Meeting).where(*unclassified)
    total = int((await uow.session.execute(counted)).scalar_one())
    # By subject and not only by slot: a task that was retried by hand holds none.
    open_task = sa.exists().where(
        col(Task.subject_id) == col(Meeting.id),
        col(Task.kind) == ClassifyMeeting.KIND,
        col(Task.status).in_((TaskStatus.QUEUED, TaskStatus.RUNNING)),
    )
    due = sa.select(col(Meeting.id)).where(*unclassified, ~open_task.correlate(Meeting))
    queued = await uow.enqueue_each(ClassifyMeeting, "meeting_id", due, priority=BULK_PRIORITY)
    uow.audit("classification.queue", queued=queued, total=total)
    return Queued(queued=queued, total=total)
