"""Annotating and closing interactions, and asking for a call's summary."""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.http.personal_data import PersonalData
from contactship_api.interactions import queries
from contactship_api.interactions.errors import (
    InteractionEnded,
    InteractionNotFound,
    InteractionNotYours,
    NotSummarizable,
)
from contactship_api.interactions.schemas import InteractionDetail, InteractionUpdate
from contactship_common.contact_center.interactions import publish_completed
from contactship_common.models import CallDetail, Interaction, InteractionStatus, Task, TaskStatus
from contactship_common.models.contact_center import ENDED_INTERACTIONS
from contactship_common.tasks.catalog import SummarizeCall
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork


def _may_become(now: str, then: InteractionStatus) -> bool:
    """Forward only; one end may be corrected to another."""
    if then in ENDED_INTERACTIONS:
        return True
    return now == then or (now == InteractionStatus.NEW and then == InteractionStatus.IN_PROGRESS)


async def change(
    uow: UnitOfWork, who: Principal, interaction_id: UUID, body: InteractionUpdate, personal: PersonalData
) -> InteractionDetail:
    """
    Raises:
        InteractionNotFound
        InteractionNotYours: it belongs to a conversation that the caller may not see.
        InteractionEnded: the status would go backwards.
    """
    locked = sa.select(Interaction).where(col(Interaction.id) == interaction_id).with_for_update()
    row = (await uow.session.execute(locked)).scalar_one_or_none()
    if row is None:
        raise InteractionNotFound
    if not await queries.sees_messages(uow.session, who, row):
        raise InteractionNotYours
    given = body.model_dump(exclude_unset=True)
    changed = {name: value for name, value in given.items() if getattr(row, name) != value}
    if changed:
        was_running = row.status not in ENDED_INTERACTIONS
        if "status" in changed and not _may_become(row.status, changed["status"]):
            raise InteractionEnded
        values = {**changed, "updated_at": sa.func.clock_timestamp()}
        ends = was_running and changed.get("status") in ENDED_INTERACTIONS
        if ends and row.ended_at is None:
            values["ended_at"] = sa.func.clock_timestamp()
        await uow.session.execute(sa.update(Interaction).where(col(Interaction.id) == interaction_id).values(**values))
        uow.audit("interaction.update", "interaction", interaction_id, fields=sorted(changed))
        if ends and changed["status"] == InteractionStatus.COMPLETED:
            await publish_completed(uow, [interaction_id])
    uow.session.expire_all()
    return await queries.find(uow.session, who, interaction_id, personal)


async def request_summary(uow: UnitOfWork, interaction_id: UUID, *, force: bool) -> TaskRef | None:
    """The task that will write the summary: a new one, or the one that waits or runs already. None: it is written.

    Raises:
        InteractionNotFound
        NotSummarizable: it has no transcript.
    """
    # A run stores its summary and ends in one transaction. With the call held against that, it is seen either before
    # or after: never a summary still missing together with a slot already free.
    call = sa.select(col(CallDetail.interaction_id)).where(col(CallDetail.interaction_id) == interaction_id)
    await uow.session.execute(call.with_for_update(read=True))
    statement = (
        sa.select(
            sa.func.length(sa.func.btrim(col(CallDetail.transcript_text), " \n\r\t")).label("transcript"),
            col(CallDetail.summary).is_not(None).label("written"),
            col(Task.id).label("task"),
            sa.func.coalesce(
                sa.and_(col(Task.status) == TaskStatus.RUNNING, col(CallDetail.updated_at) > col(Task.claimed_at)),
                sa.false(),
            ).label("runs_outdated"),
        )
        .select_from(Interaction)
        .outerjoin(CallDetail, col(CallDetail.interaction_id) == col(Interaction.id))
        .outerjoin(Task, col(Task.slot) == SummarizeCall(interaction_id=interaction_id).slot())
        .where(col(Interaction.id) == interaction_id)
    )
    row = (await uow.session.execute(statement)).first()
    if row is None:
        raise InteractionNotFound
    if not row.transcript:
        raise NotSummarizable
    if row.written and row.task is None and not force:
        return None
    ref = uow.enqueue(SummarizeCall(interaction_id=interaction_id, force=force), rerun=force or row.runs_outdated)
    await uow.flush()
    return ref
