"""Bringing leads in from outside: jobs, the pages they fetched, and which leads they made."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class SyncStatus(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class SyncJob(SQLModel, table=True):
    """One run of one source. Its status changes only in the transaction of the task that causes the change.

    processed = created + skipped + failed, always.
    """

    __tablename__ = "sync_jobs"
    __table_args__ = (
        sa.CheckConstraint("status IN ('pending', 'in_progress', 'completed', 'failed')", name="status"),
        sa.CheckConstraint(
            "records_processed = records_created + records_skipped + records_failed", name="counters_add_up"
        ),
        # One running job a source; and a tick of the cron happens once, however many schedulers see it.
        sa.Index(
            "uq_sync_jobs_running",
            "source",
            unique=True,
            postgresql_where=sa.text("status IN ('pending', 'in_progress')"),
        ),
        sa.Index("uq_sync_jobs_tick", "source", "scheduled_for", unique=True),
        sa.Index("ix_sync_jobs_source", "source", "id"),
    )

    id: UUID = id_column()
    source: str = Field(max_length=100)
    status: str = SyncStatus.PENDING
    batch_size: int
    records_processed: int = 0
    records_created: int = 0
    records_skipped: int = 0
    records_failed: int = 0
    errors: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSONB)
    requested_by: str | None = None
    scheduled_for: datetime | None = utc_column()
    started_at: datetime | None = utc_column()
    completed_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class SyncPage(SQLModel, table=True):
    """One page as it was fetched. Applying it again after a crash applies the same people."""

    __tablename__ = "sync_pages"
    __table_args__ = (sa.Index("uq_sync_pages_number", "job_id", "number", unique=True),)

    id: UUID = id_column()
    job_id: UUID = Field(foreign_key="sync_jobs.id", ondelete="CASCADE")
    number: int
    records: list[Any] | None = Field(default=None, sa_type=JSONB)
    next_cursor: str | None = None
    applied_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)


class SyncJobLead(SQLModel, table=True):
    """A lead that a job created."""

    __tablename__ = "sync_job_leads"

    job_id: UUID = Field(foreign_key="sync_jobs.id", ondelete="CASCADE", primary_key=True)
    lead_id: UUID = Field(foreign_key="leads.id", ondelete="CASCADE", primary_key=True, index=True)
