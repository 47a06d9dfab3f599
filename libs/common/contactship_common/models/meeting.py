"""Clients, the sellers who meet them, the meetings, and what a model (or a person) says about each meeting."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class MeetingStatus(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class Client(SQLModel, table=True):
    """A company's contact that sellers meet. `lead_id`: the lead with the same e-mail, else the same phone."""

    __tablename__ = "clients"
    __table_args__ = (
        sa.CheckConstraint("email = lower(btrim(email))", name="email_normalised"),
        # Stored normalised (the check above), so a plain unique index is case-insensitive.
        sa.Index("uq_clients_email", "email", unique=True),
        sa.Index("ix_clients_created_at", "created_at", "id"),
        sa.Index("ix_clients_name_sort", "name_sort", "id"),
        sa.Index("ix_clients_phone_e164", "phone_e164"),
    )

    id: UUID = id_column()
    name: str = Field(max_length=255)
    email: str | None = Field(default=None, max_length=255)
    phone: str | None = Field(default=None, max_length=50)
    phone_e164: str | None = Field(default=None, max_length=20)
    company: str | None = Field(default=None, max_length=255)
    lead_id: UUID | None = Field(default=None, foreign_key="leads.id", ondelete="SET NULL", index=True)
    search_text: str = ""
    name_sort: str = ""
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class Seller(SQLModel, table=True):
    """Who leads meetings. `prompt`: extra instructions for the model on this seller's meetings."""

    __tablename__ = "sellers"
    __table_args__ = (
        sa.CheckConstraint("email = lower(btrim(email))", name="email_normalised"),
        sa.Index("uq_sellers_email", "email", unique=True),
        sa.Index("ix_sellers_created_at", "created_at", "id"),
        sa.Index("ix_sellers_name_sort", "name_sort", "id"),
    )

    id: UUID = id_column()
    name: str = Field(max_length=255)
    email: str = Field(max_length=255)
    phone: str | None = Field(default=None, max_length=50)
    active: bool = True
    prompt: str | None = Field(default=None, max_length=2_000)
    user_id: UUID | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL", index=True)
    search_text: str = ""
    name_sort: str = ""
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class Meeting(SQLModel, table=True):
    """One meeting. `transcript_changed_at` moves with the transcript only: equal to a classification's
    `transcript_at` means that the classification is of this text, whatever any clock says."""

    __tablename__ = "meetings"
    __table_args__ = (
        sa.CheckConstraint("status IN ('open', 'closed', 'cancelled')", name="status"),
        sa.CheckConstraint("duration_minutes BETWEEN 1 AND 1440", name="duration_minutes"),
        sa.Index("ix_meetings_meeting_at", "meeting_at", "id"),
        sa.Index("ix_meetings_created_at", "created_at", "id"),
        sa.Index("ix_meetings_status", "status", "meeting_at", "id"),
        sa.Index("ix_meetings_client_id", "client_id", "meeting_at", "id"),
        sa.Index("ix_meetings_seller_id", "seller_id", "meeting_at", "id"),
    )

    id: UUID = id_column()
    client_id: UUID = Field(foreign_key="clients.id", ondelete="CASCADE")
    seller_id: UUID = Field(foreign_key="sellers.id", ondelete="RESTRICT")
    meeting_at: datetime = utc_column(nullable=False)
    duration_minutes: int | None = None
    status: str = MeetingStatus.OPEN
    transcript: str | None = None
    transcript_changed_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class MeetingClassification(SQLModel, table=True):
    """What was said about a meeting. One row a meeting is `is_current`; the others are its history.

    `labels` and the four fixed columns hold what counts: the model's answer with people's corrections laid over it.
    `answer` holds the same fields as the model gave them.
    """

    __tablename__ = "meeting_classifications"
    __table_args__ = (
        sa.CheckConstraint("sentiment IN ('positive', 'neutral', 'negative')", name="sentiment"),
        sa.CheckConstraint("language IN ('es', 'en')", name="language"),
        sa.CheckConstraint("confidence_score BETWEEN 0.1 AND 0.95", name="confidence_score"),
        sa.Index(
            "uq_meeting_classifications_current", "meeting_id", unique=True, postgresql_where=sa.text("is_current")
        ),
        sa.Index("ix_meeting_classifications_meeting_id", "meeting_id", "id"),
        sa.Index(
            "ix_meeting_classifications_processed_at", "processed_at", "id", postgresql_where=sa.text("is_current")
        ),
        sa.Index(
            "ix_meeting_classifications_labels",
            "labels",
            postgresql_using="gin",
            postgresql_ops={"labels": "jsonb_path_ops"},
            postgresql_where=sa.text("is_current"),
        ),
    )

    id: UUID = id_column()
    meeting_id: UUID = Field(foreign_key="meetings.id", ondelete="CASCADE")
    is_current: bool = True
    labels: dict[str, str | None] = Field(default_factory=dict, sa_type=JSONB)
    urgency: bool
    language: str
    lost_client_bad_meeting: bool
    sentiment: str
    confidence_score: Decimal = Field(sa_type=sa.Numeric(3, 2))
    key_topics: list[str] = Field(sa_type=JSONB)
    action_items: list[str] = Field(sa_type=JSONB)
    next_steps: str
    summary: str
    answer: dict[str, Any] = Field(sa_type=JSONB)
    corrected_fields: list[str] = Field(default_factory=list, sa_type=JSONB)
    provider: str
    model_used: str
    prompt_version: str
    transcript_at: datetime | None = utc_column()
    processed_at: datetime = utc_column(default_now=True)
    processing_time_ms: int = 0


class SeededMeeting(SQLModel, table=True):
    """A row of a seed that was taken in once. Kept when its meeting is deleted, so that it does not come back."""

    __tablename__ = "seeded_meetings"

    key: str = Field(primary_key=True, max_length=100)
    # No foreign key: the key outlives the meeting.
    meeting_id: UUID
    created_at: datetime = utc_column(default_now=True)
