"""How far a batch has come: counted over its tasks, so that no counter can be wrong."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.models import Batch, BatchItem, Task, TaskStatus


@dataclass(frozen=True, slots=True)
class Progress:
    """Numbers of subjects. `total` holds those without a task too: done before, and not found."""

    batch: Batch
    total: int
    completed: int
    failed: int
    cancelled: int
    open: int

    @property
    def is_over(self) -> bool:
        """Nothing is open, and nothing will be added."""
        return not self.open and not self.batch.expanding


async def progress_of(session: AsyncSession, batch: Batch) -> Progress:
    statement = (
        sa.select(col(Task.status), sa.func.count())
        .join(BatchItem, col(BatchItem.task_id) == col(Task.id))
        .where(col(BatchItem.batch_id) == batch.id)
        .group_by(col(Task.status))
    )
    counts: dict[str, int] = {row[0]: row[1] for row in await session.execute(statement)}
    return Progress(
        batch=batch,
        total=sum(counts.values()) + batch.already_done + batch.not_found,
        completed=counts.get(TaskStatus.SUCCEEDED, 0) + batch.already_done,
        failed=counts.get(TaskStatus.FAILED, 0),
        cancelled=counts.get(TaskStatus.CANCELLED, 0),
        open=counts.get(TaskStatus.QUEUED, 0) + counts.get(TaskStatus.RUNNING, 0),
    )
