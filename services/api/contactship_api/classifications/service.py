"""Asking for classifications, and dropping one."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.classifications.errors import ClassificationNotFound, MeetingWithoutTranscript
from contactship_common.classification.corrections import lock_meeting
from contactship_common.classification.freshness import is_fresh
from contactship_common.clients import touch_leads_of_clients
from contactship_common.errors import MeetingNotFound
from contactship_common.models import Batch, Meeting, MeetingClassification, Task, TaskStatus
from contactship_common.summaries import add_to_batch
from contactship_common.tasks.catalog import ClassifyMeeting
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork


async def request(uow: UnitOfWork, who: Principal, meeting_id: UUID, *, force: bool) -> TaskRef | None:
    """The task that will classify the meeting: a new one, or the one that waits or runs already. None: its
    classification is of the transcript as it is.

    Raises:
        MeetingNotFound, MeetingWithoutTranscript
    """
    # At most one task holds the slot, and only while it waits or runs.
    statement = (
        sa.select(
            col(Meeting.transcript).is_not(None),
            is_fresh(),
            col(Meeting.transcript_changed_at),
            col(Task.status),
            col(Task.claimed_at),
        )
        .select_from(Meeting)
        .outerjoin(Task, col(Task.slot) == ClassifyMeeting(meeting_id=meeting_id).slot())
        .where(col(Meeting.id) == meeting_id)
    )
    row = (await uow.session.execute(statement)).first() if who.may(Scope.MEETINGS_READ) else None
    if row is None:
        raise MeetingNotFound
    has_transcript, fresh, changed_at, task_status, claimed_at = row
    if not has_transcript:
        raise MeetingWithoutTranscript
    if fresh and task_status is None and not force:
        return None
    changed_meanwhile = (
        task_status == TaskStatus.RUNNING
        and changed_at is not None
        and claimed_at is not None
        and changed_at > claimed_at
    )
    ref = uow.enqueue(ClassifyMeeting(meeting_id=meeting_id, force=force), rerun=force or changed_meanwhile)
    await uow.flush()
    return ref


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    """`tasks` maps meetings to their tasks; the other lists say why the rest has none."""

    id: UUID
    tasks: dict[UUID, UUID]
    already_classified: list[UUID]
    without_transcript: list[UUID]
    not_found: list[UUID]


async def request_many(uow: UnitOfWork, who: Principal, meeting_ids: list[UUID], *, force: bool) -> AcceptedBatch:
    """A batch over those of these meetings that need it; a task that waits or runs already is taken into it."""
    wanted = list(dict.fromkeys(meeting_ids))
    slot = sa.func.concat(f"{ClassifyMeeting.KIND}:", col(Meeting.id))
    statement = (
        sa.select(col(Meeting.id), col(Meeting.transcript).is_not(None), is_fresh(), col(Task.id))
        .select_from(Meeting)
        .outerjoin(Task, col(Task.slot) == slot)
        .where(col(Meeting.id).in_(wanted))
    )
    rows = await uow.session.execute(statement) if who.may(Scope.MEETINGS_READ) else ()
    found = {row[0]: row[1:] for row in rows}
    with_transcript = [m for m in wanted if m in found and found[m][0]]
    due = [m for m in with_transcript if force or not found[m][1] or found[m][2] is not None]
    batch = Batch(kind=ClassifyMeeting.KIND, requested_by=uow.context.actor)
    uow.session.add(batch)
    refs = {m: uow.enqueue(ClassifyMeeting(meeting_id=m, force=force), rerun=force) for m in due}
    await uow.flush()
    await add_to_batch(uow.session, batch.id, list(refs.values()))
    return AcceptedBatch(
        id=batch.id,
        tasks={m: ref.id for m, ref in refs.items()},
        already_classified=[m for m in with_transcript if m not in refs],
        without_transcript=[m for m in wanted if m in found and not found[m][0]],
        not_found=[m for m in wanted if m not in found],
    )


async def drop(uow: UnitOfWork, meeting_id: UUID) -> None:
    """The meeting has no classification any more; what was said stays in its history.

    Raises:
        ClassificationNotFound
    """
    await lock_meeting(uow.session, meeting_id)
    dropped = (
        sa.update(MeetingClassification)
        .where(col(MeetingClassification.meeting_id) == meeting_id, col(MeetingClassification.is_current))
        .values(is_current=False)
        .returning(col(MeetingClassification.id))
    )
    if (await uow.session.execute(dropped)).first() is None:
        raise ClassificationNotFound
    meeting = await uow.session.get_one(Meeting, meeting_id)
    await touch_leads_of_clients(uow, [meeting.client_id])
    uow.audit("classification.delete", "meeting", meeting_id)
