"""Shapes of /tasks."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from contactship_api.http.schemas import CursorMeta, Out, UtcTime
from contactship_api.tasks.kinds import subject_link
from contactship_common.models import Task, TaskStatus


class TaskState(StrEnum):
    """A task's status as clients see it."""

    QUEUED = "queued"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


SHOWN: dict[str, TaskState] = {
    TaskStatus.QUEUED: TaskState.QUEUED,
    TaskStatus.RUNNING: TaskState.PROCESSING,
    TaskStatus.SUCCEEDED: TaskState.COMPLETED,
    TaskStatus.FAILED: TaskState.FAILED,
    TaskStatus.CANCELLED: TaskState.CANCELLED,
}
STORED: dict[TaskState, str] = {shown: stored for stored, shown in SHOWN.items()}
ENDED = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED})


class TaskProblem(Out):
    code: str
    message: str


class TaskLinks(Out):
    self: str
    subject: str | None


class TaskOut(Out):
    """`attempt` is failures + 1; `error` is the last failure, also while the task is tried again."""

    id: UUID
    kind: str = Field(examples=["lead.summary"])
    status: TaskState
    subject_id: UUID | None
    attempt: int
    max_attempts: int
    error: TaskProblem | None
    result: dict[str, Any] | None
    created_at: UtcTime
    started_at: UtcTime | None
    finished_at: UtcTime | None
    links: TaskLinks

    @classmethod
    def of(cls, task: Task) -> "TaskOut":
        return cls(
            id=task.id,
            kind=task.kind,
            status=SHOWN[task.status],
            subject_id=task.subject_id,
            attempt=min(task.failures + 1, task.max_attempts),
            max_attempts=task.max_attempts,
            error=TaskProblem.model_validate(task.error) if task.error else None,
            result=task.result,
            created_at=task.created_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
            links=TaskLinks(self=f"/api/v1/tasks/{task.id}", subject=subject_link(task)),
        )


class TaskPage(Out):
    data: list[TaskOut]
    meta: CursorMeta


class BatchOut(Out):
    """Counts of a batch. While a filter is being turned into tasks, `status` is `processing` and `total` grows."""

    id: UUID
    status: TaskState
    total: int
    completed: int
    failed: int
    cancelled: int
    processing: int
    not_found: int
    created_at: UtcTime
