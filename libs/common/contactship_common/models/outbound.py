"""What is sent to addresses that came through the API: who waits for a task's end, the messages, and each attempt."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class TaskCallback(SQLModel, table=True):
    """An address that is told how a task ended. Gone once a delivery stands for it."""

    __tablename__ = "task_callbacks"
    __table_args__ = (sa.Index("uq_task_callbacks_task_id_url", "task_id", "url", unique=True),)

    id: UUID = id_column()
    task_id: UUID = Field(foreign_key="tasks.id", ondelete="CASCADE")
    url: str = Field(max_length=2048)
    requested_by: str | None = None
    created_at: datetime = utc_column(default_now=True)


class OutboundDelivery(SQLModel, table=True):
    """One message to one receiver. `payload` is the body as it was published, so that every attempt signs the same
    bytes; `endpoint_id` is null for callbacks, `task_id` is the task whose end it tells."""

    __tablename__ = "outbound_deliveries"
    __table_args__ = (
        sa.CheckConstraint("status IN ('pending', 'succeeded', 'failed')", name="status"),
        sa.Index("ix_outbound_deliveries_endpoint", "endpoint_id", "id"),
        # Switching an endpoint off, or sending again what failed, looks at these among many that succeeded.
        sa.Index(
            "ix_outbound_deliveries_not_succeeded",
            "endpoint_id",
            "id",
            postgresql_where=sa.text("status IN ('pending', 'failed')"),
        ),
        sa.Index(
            "ix_outbound_deliveries_finished_at", "finished_at", postgresql_where=sa.text("finished_at IS NOT NULL")
        ),
    )

    id: UUID = id_column()
    endpoint_id: UUID | None = None
    url: str = Field(max_length=2048)
    event_type: str = Field(max_length=100)
    payload: str
    status: str = DeliveryStatus.PENDING
    task_id: UUID | None = Field(default=None, foreign_key="tasks.id", ondelete="SET NULL", index=True)
    created_at: datetime = utc_column(default_now=True, index=True)
    finished_at: datetime | None = utc_column()


class OutboundAttempt(SQLModel, table=True):
    """One attempt, written before it is made: a row without duration and error is being made, or its worker died
    (the next attempt then marks it `unknown`)."""

    __tablename__ = "outbound_attempts"

    delivery_id: UUID = Field(foreign_key="outbound_deliveries.id", ondelete="CASCADE", primary_key=True)
    number: int = Field(primary_key=True)
    started_at: datetime = utc_column(default_now=True)
    duration_ms: int | None = None
    status_code: int | None = None
    error: str | None = Field(default=None, max_length=64)
