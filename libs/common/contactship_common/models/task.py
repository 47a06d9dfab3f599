"""Tasks: the outbox, the queue's truth, the delay timer, the debounce, and what clients poll, in one table."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class TaskStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Task(SQLModel, table=True):
    """One piece of work. Only `contactship_common.tasks` writes this table."""

    __tablename__ = "tasks"
    __table_args__ = (
        sa.CheckConstraint("status IN ('queued','running','succeeded','failed','cancelled')", name="status"),
        sa.CheckConstraint("holds IN ('waiting','ended')", name="holds"),
        sa.Index("ix_tasks_due", "queue", "priority", "run_at", postgresql_where=sa.text("status = 'queued'")),
        sa.Index("ix_tasks_lease", "lease_until", postgresql_where=sa.text("status = 'running'")),
        sa.Index("ix_tasks_subject", "subject_id", "kind", "id"),
        sa.Index("ix_tasks_status", "status", "id"),
        sa.Index("ix_tasks_kind", "kind", "id"),
        sa.Index("ix_tasks_requested_by", "requested_by", "id"),
        sa.Index(
            "ix_tasks_finished_at",
            "finished_at",
            postgresql_include=["queue", "status"],
            postgresql_where=sa.text("finished_at IS NOT NULL"),
        ),
    )

    id: UUID = id_column()
    kind: str
    queue: str
    priority: int = Field(default=100, sa_type=sa.SmallInteger)
    payload: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    subject_id: UUID | None = None
    status: str = TaskStatus.QUEUED
    slot: str | None = Field(default=None, unique=True)
    holds: str = "ended"
    rerun: bool = False
    run_at: datetime = utc_column(default_now=True)
    debounce_until: datetime | None = utc_column()
    run_no: int = 0
    failures: int = 0
    max_attempts: int = 5
    lease_until: datetime | None = utc_column()
    lease_owner: str | None = None
    intent_at: datetime | None = utc_column()
    published_at: datetime | None = utc_column()
    error: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    result: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    requested_by: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    created_at: datetime = utc_column(default_now=True)
    started_at: datetime | None = utc_column()
    claimed_at: datetime | None = utc_column()
    finished_at: datetime | None = utc_column()


class Batch(SQLModel, table=True):
    """Tasks that were asked for together. Counts are read from the tasks; only what made no task is stored here."""

    __tablename__ = "batches"

    id: UUID = id_column()
    kind: str
    not_found: int = 0
    already_done: int = 0
    expanding: bool = False
    requested_by: str | None = None
    created_at: datetime = utc_column(default_now=True)


class BatchItem(SQLModel, table=True):
    __tablename__ = "batch_items"

    batch_id: UUID = Field(foreign_key="batches.id", ondelete="CASCADE", primary_key=True)
    task_id: UUID = Field(foreign_key="tasks.id", ondelete="CASCADE", primary_key=True, index=True)
