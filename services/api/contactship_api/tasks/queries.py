"""Reads of tasks, each starting from what the caller may see."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.access.visibility import conversations_of
from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.tasks.kinds import readable_with
from contactship_api.tasks.schemas import BatchOut, TaskState
from contactship_common.models import Batch, Task
from contactship_common.tasks.batches import progress_of
from contactship_common.tasks.catalog import AnalyzeConversation


def visible(who: Principal) -> Any:
    """The condition on `tasks` for this caller."""
    if who.may(Scope.TASKS_READ):
        return sa.true()
    seen = [col(Task.requested_by) == who.actor, col(Task.kind).in_(readable_with(who.scopes))]
    if who.may(Scope.CONVERSATIONS_READ):
        analysis = col(Task.kind) == AnalyzeConversation.KIND
        seen.append(sa.and_(analysis, col(Task.subject_id).in_(conversations_of(who))))
    return sa.or_(*seen)


async def find(session: AsyncSession, who: Principal, task_id: UUID) -> Task | None:
    statement = sa.select(Task).where(col(Task.id) == task_id, visible(who))
    return (await session.execute(statement)).scalar_one_or_none()


async def page(
    session: AsyncSession,
    who: Principal,
    *,
    kind: str | None,
    status: str | None,
    subject_id: UUID | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[Task], str | None]:
    """The newest first, and the cursor of the next page."""
    statement = sa.select(Task).where(visible(who))
    if kind is not None:
        statement = statement.where(col(Task.kind) == kind)
    if status is not None:
        statement = statement.where(col(Task.status) == status)
    if subject_id is not None:
        statement = statement.where(col(Task.subject_id) == subject_id)
    if cursor is not None:
        statement = statement.where(col(Task.id) < UUID(decode_cursor("tasks", cursor, 1)[0]))
    statement = statement.order_by(col(Task.id).desc()).limit(limit + 1)
    rows = list((await session.execute(statement)).scalars())
    following = encode_cursor("tasks", str(rows[limit - 1].id)) if len(rows) > limit else None
    return rows[:limit], following


async def batch(session: AsyncSession, who: Principal, batch_id: UUID) -> BatchOut | None:
    """Counts read from the tasks themselves, in one query."""
    found = await session.get(Batch, batch_id)
    may_see = found is not None and (
        who.may(Scope.TASKS_READ) or found.kind in readable_with(who.scopes) or found.requested_by == who.actor
    )
    if found is None or not may_see:
        return None
    progress = await progress_of(session, found)
    return BatchOut(
        id=found.id,
        status=TaskState.COMPLETED if progress.is_over else TaskState.PROCESSING,
        total=progress.total,
        completed=progress.completed,
        failed=progress.failed,
        cancelled=progress.cancelled,
        processing=progress.open,
        not_found=found.not_found,
        created_at=found.created_at,
    )
