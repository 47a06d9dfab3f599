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


@dataclass(frozen=True, slots=True)
class _State:
    """What a meeting has: a transcript, a classification of it as it is, an open task, and one that runs since before
    the transcript changed."""

    has_transcript: bool
    fresh: bool
    has_task: bool
    runs_outdated: bool

    def is_due(self, *, force: bool) -> bool:
        return force or not self.fresh or self.has_task


async def _states(uow: UnitOfWork, who: Principal, meeting_ids: list[UUID]) -> dict[UUID, _State]:
    """Those of these meetings that are there and may be seen.

    A run stores its classification and ends in one transaction. The meetings are held against that, so it is seen
    either before or after: never a classification still missing together with a slot already free.
    """
    if not who.may(Scope.MEETINGS_READ):
        return {}
    held = sa.select(col(Meeting.id)).where(col(Meeting.id).in_(meeting_ids)).order_by(col(Meeting.id))
    await uow.session.execute(held.with_for_update(read=True))
    runs_outdated = sa.and_(
        col(Task.status) == TaskStatus.RUNNING, col(Meeting.transcript_changed_at) > col(Task.claimed_at)
    )
    # At most one task holds the slot, and only while it waits or runs.
    slot = sa.func.concat(f"{ClassifyMeeting.KIND}:", col(Meeting.id))
    statement = (
        sa.select(
            col(Meeting.id),
            col(Meeting.transcript).is_not(None),
            is_fresh(),
            col(Task.id).is_not(None),
            sa.func.coalesce(runs_outdated, sa.false()),
        )
        .select_from(Meeting)
        .outerjoin(Task, col(Task.slot) == slot)
        .where(col(Meeting.id).in_(meeting_ids))
    )
    return {meeting_id: _State(*state) for meeting_id, *state in await uow.session.execute(statement)}


async def request(uow: UnitOfWork, who: Principal, meeting_id: UUID, *, force: bool) -> TaskRef | None:
    """The task that will classify the meeting: a new one, or the one that waits or runs already. None: its
    classification is of the transcript as it is.

    Raises:
        MeetingNotFound, MeetingWithoutTranscript
    """
    found = await _states(uow, who, [meeting_id])
    if meeting_id not in found:
        raise MeetingNotFound
    state = found[meeting_id]
    if not state.has_transcript:
        raise MeetingWithoutTranscript
    if not state.is_due(force=force):
        return None
    ref = uow.enqueue(ClassifyMeeting(meeting_id=meeting_id, force=force), rerun=force or state.runs_outdated)
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
    found = await _states(uow, who, wanted)
    with_transcript = [m for m in wanted if m in found and found[m].has_transcript]
    due = [m for m in with_transcript if found[m].is_due(force=force)]
    batch = Batch(kind=ClassifyMeeting.KIND, requested_by=uow.context.actor)
    uow.session.add(batch)
    refs = {
        m: uow.enqueue(ClassifyMeeting(meeting_id=m, force=force), rerun=force or found[m].runs_outdated) for m in due
    }
    await uow.flush()
    await add_to_batch(uow.session, batch.id, list(refs.values()))
    return AcceptedBatch(
        id=batch.id,
        tasks={m: ref.id for m, ref in refs.items()},
        already_classified=[m for m in with_transcript if m not in refs],
        without_transcript=[m for m in wanted if m in found and not found[m].has_transcript],
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
