"""When a lead's summary is fresh, and how tasks are put into a batch: rules the gateway and the AI worker share."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.models import BatchItem, Lead
from contactship_common.tasks.store import TaskRef


def is_fresh(ttl_seconds: int) -> sa.ColumnElement[bool]:
    """A summary that is young enough and was made from the facts as they still are. Never NULL."""
    return sa.func.coalesce(
        sa.and_(
            col(Lead.summary).is_not(None),
            col(Lead.summary_facts_at) == col(Lead.facts_changed_at),
            col(Lead.summary_generated_at) > sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, ttl_seconds),
        ),
        sa.false(),
    )


NOT_FRESH = """
(summary IS NULL OR summary_facts_at IS DISTINCT FROM facts_changed_at OR summary_generated_at IS NULL
 OR summary_generated_at <= now() - make_interval(secs => %(ttl)s))
"""
"""The opposite of `is_fresh`, as a condition on `leads` for statements of the plain driver."""


async def add_to_batch(session: AsyncSession, batch_id: UUID, refs: list[TaskRef]) -> None:
    """Put flushed tasks into a batch."""
    if refs:
        await session.execute(sa.insert(BatchItem), [{"batch_id": batch_id, "task_id": ref.id} for ref in refs])
