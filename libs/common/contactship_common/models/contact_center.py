"""Calls, WhatsApp and SMS: what came in, what went out, and the codes that were sent."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class InteractionChannel(StrEnum):
    CALL = "CALL"
    WHATSAPP = "WHATSAPP"
    SMS = "SMS"


class Direction(StrEnum):
    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"


class InteractionStatus(StrEnum):
    NEW = "NEW"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    ABANDONED = "ABANDONED"
    FAILED = "FAILED"


ENDED_INTERACTIONS = frozenset({InteractionStatus.COMPLETED, InteractionStatus.ABANDONED, InteractionStatus.FAILED})
"""An interaction in one of these never reopens because an old event comes late."""


class Outcome(StrEnum):
    RESOLVED = "RESOLVED"
    ESCALATED = "ESCALATED"
    TICKETED = "TICKETED"
    TRANSFERRED = "TRANSFERRED"
    UNKNOWN = "UNKNOWN"


class Provider(StrEnum):
    ELEVENLABS = "ELEVENLABS"
    BUILDERBOT = "BUILDERBOT"
    TWILIO = "TWILIO"
    GENERIC = "GENERIC"


class OtpPurpose(StrEnum):
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105
    TX_CONFIRMATION = "TX_CONFIRMATION"
    IDENTITY_VERIFICATION = "IDENTITY_VERIFICATION"
    LOGIN_2FA = "LOGIN_2FA"


class OtpStatus(StrEnum):
    PENDING = "PENDING"
    SENT = "SENT"
    VERIFIED = "VERIFIED"
    EXPIRED = "EXPIRED"
    LOCKED = "LOCKED"
    FAILED = "FAILED"


LIVE_CODES = frozenset({OtpStatus.PENDING, OtpStatus.SENT})
"""A code in one of these can be verified, until it expires."""


class DeliveryState(StrEnum):
    """`SENDING`: the intent is committed, the vendor's answer is not; `UNKNOWN`: it never came."""

    PENDING = "PENDING"
    SENDING = "SENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    READ = "READ"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


def _one_of(column: str, values: type[StrEnum]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


class Interaction(SQLModel, table=True):
    """One call, or one stretch of messages with a person. `from_number` and `to_number` are E.164 where they could be
    parsed, else as they came; `customer_phone` is the person's side in E.164."""

    __tablename__ = "interactions"
    __table_args__ = (
        _one_of("channel", InteractionChannel),
        _one_of("direction", Direction),
        _one_of("status", InteractionStatus),
        _one_of("outcome", Outcome),
        _one_of("provider", Provider),
        sa.Index(
            "uq_interactions_provider_conversation_id",
            "provider",
            "provider_conversation_id",
            unique=True,
            postgresql_where=sa.text("provider_conversation_id IS NOT NULL"),
        ),
        # One running interaction a conversation.
        sa.Index(
            "uq_interactions_running",
            "conversation_id",
            unique=True,
            postgresql_where=sa.text("conversation_id IS NOT NULL AND status IN ('NEW', 'IN_PROGRESS')"),
        ),
        sa.Index("ix_interactions_started_at", "started_at", "id"),
        sa.Index("ix_interactions_channel", "channel", "started_at", "id"),
        sa.Index("ix_interactions_status", "status", "started_at", "id"),
        sa.Index("ix_interactions_customer_phone", "customer_phone", "started_at", "id"),
        sa.Index("ix_interactions_from_number", "from_number", "started_at", "id"),
        sa.Index("ix_interactions_to_number", "to_number", "started_at", "id"),
        sa.Index("ix_interactions_lead_id", "lead_id", "started_at", "id"),
        sa.Index("ix_interactions_conversation_id", "conversation_id", "started_at", "id"),
        sa.Index("ix_interactions_assigned_agent", "assigned_agent", "started_at", "id"),
    )

    id: UUID = id_column()
    channel: str
    direction: str
    status: str = InteractionStatus.NEW
    started_at: datetime = utc_column(default_now=True)
    ended_at: datetime | None = utc_column()
    from_number: str | None = Field(default=None, max_length=255)
    to_number: str | None = Field(default=None, max_length=255)
    customer_phone: str | None = Field(default=None, max_length=20)
    customer_ref: str | None = Field(default=None, max_length=255)
    queue: str | None = Field(default=None, max_length=255)
    assigned_agent: str | None = Field(default=None, max_length=255)
    ai_handled: bool = False
    outcome: str | None = None
    intent: str | None = Field(default=None, max_length=500)
    provider: str
    provider_conversation_id: str | None = Field(default=None, max_length=255)
    lead_id: UUID | None = Field(default=None, foreign_key="leads.id", ondelete="SET NULL")
    conversation_id: UUID | None = Field(default=None, foreign_key="conversations.id", ondelete="SET NULL")
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class InteractionEvent(SQLModel, table=True):
    """What a provider told about an interaction, as it came and as it was understood. Append-only."""

    __tablename__ = "interaction_events"
    __table_args__ = (
        _one_of("provider", Provider),
        sa.Index("uq_interaction_events_idempotency_key", "idempotency_key", unique=True),
        sa.Index("ix_interaction_events_interaction_id", "interaction_id", "id"),
    )

    id: UUID = id_column()
    interaction_id: UUID = Field(foreign_key="interactions.id", ondelete="CASCADE")
    type: str = Field(max_length=100)
    provider: str
    provider_event_id: str | None = Field(default=None, max_length=255)
    idempotency_key: str = Field(max_length=512)
    raw: Any = Field(default=None, sa_type=JSONB)
    normalized: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    occurred_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)


class CallDetail(SQLModel, table=True):
    """What is known about a call besides its interaction."""

    __tablename__ = "call_details"

    interaction_id: UUID = Field(foreign_key="interactions.id", ondelete="CASCADE", primary_key=True)
    recording_url: str | None = Field(default=None, max_length=2_048)
    transcript_text: str | None = None
    transcript_id: str | None = Field(default=None, max_length=255)
    summary: str | None = None
    duration_sec: int | None = None
    hangup_reason: str | None = Field(default=None, max_length=255)
    updated_at: datetime = utc_column(default_now=True)


class OtpLimit(SQLModel, table=True):
    """How many codes a number got, and how many guesses were wrong, for one purpose in the current window. Every
    decision is one statement on this row."""

    __tablename__ = "otp_limits"
    __table_args__ = (_one_of("purpose", OtpPurpose),)

    phone_e164: str = Field(primary_key=True, max_length=20)
    purpose: str = Field(primary_key=True)
    window_started_at: datetime = utc_column(default_now=True)
    sent: int = 0
    wrong: int = 0


class OtpChallenge(SQLModel, table=True):
    """A code that was asked for. The code itself is nowhere: it is derived from `OTP_SECRET` and `nonce`."""

    __tablename__ = "otp_challenges"
    __table_args__ = (
        _one_of("purpose", OtpPurpose),
        _one_of("status", OtpStatus),
        sa.Index("uq_otp_challenges_correlation_id", "correlation_id", unique=True),
        # One live code a phone and purpose.
        sa.Index(
            "uq_otp_challenges_live",
            "phone_e164",
            "purpose",
            unique=True,
            postgresql_where=sa.text("status IN ('PENDING', 'SENT')"),
        ),
        sa.Index("ix_otp_challenges_interaction_id", "interaction_id"),
        sa.Index("ix_otp_challenges_phone", "phone_e164", "created_at"),
        # For the pause of prefixes that get codes and never verify them.
        sa.Index("ix_otp_challenges_phone_prefix", "phone_prefix", "created_at"),
    )

    id: UUID = id_column()
    phone_e164: str = Field(max_length=20)
    phone_prefix: str = Field(
        default=None,
        sa_column=sa.Column(sa.String, sa.Computed("left(phone_e164, -4)", persisted=True), nullable=False),
    )
    purpose: str
    nonce: bytes
    expires_at: datetime = utc_column(nullable=False)
    status: str = OtpStatus.PENDING
    correlation_id: str = Field(max_length=255)
    requested_by: str
    interaction_id: UUID | None = Field(default=None, foreign_key="interactions.id", ondelete="SET NULL")
    verified_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class Delivery(SQLModel, table=True):
    """One sending of one message or code. Its id travels in the status callback's URL. A resend is another row."""

    __tablename__ = "deliveries"
    __table_args__ = (
        _one_of("state", DeliveryState),
        _one_of("provider", Provider),
        sa.CheckConstraint("num_nonnulls(message_id, otp_challenge_id) = 1", name="one_subject"),
        sa.Index("ix_deliveries_message_id", "message_id", "id"),
        sa.Index("ix_deliveries_otp_challenge_id", "otp_challenge_id", "id"),
        sa.Index("ix_deliveries_interaction_id", "interaction_id", "id"),
        sa.Index(
            "uq_deliveries_provider_message_id",
            "provider",
            "provider_message_id",
            unique=True,
            postgresql_where=sa.text("provider_message_id IS NOT NULL"),
        ),
        # One sending at a time: a resend waits until the one before has failed.
        sa.Index(
            "uq_deliveries_running_message",
            "message_id",
            unique=True,
            postgresql_where=sa.text("message_id IS NOT NULL AND state IN ('PENDING', 'SENDING')"),
        ),
    )

    id: UUID = id_column()
    message_id: UUID | None = Field(default=None, foreign_key="messages.id", ondelete="CASCADE")
    otp_challenge_id: UUID | None = Field(default=None, foreign_key="otp_challenges.id", ondelete="CASCADE")
    interaction_id: UUID | None = Field(default=None, foreign_key="interactions.id", ondelete="SET NULL")
    channel: str
    to_number: str = Field(max_length=20)
    state: str = DeliveryState.PENDING
    provider: str | None = None
    provider_message_id: str | None = Field(default=None, max_length=255)
    # The vendor's own word and its rank: reports only ever raise it.
    provider_status: str | None = Field(default=None, max_length=32)
    provider_rank: int = 0
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, max_length=500)
    requested_by: str | None = None
    task_id: UUID | None = None
    sending_at: datetime | None = utc_column()
    sent_at: datetime | None = utc_column()
    delivered_at: datetime | None = utc_column()
    read_at: datetime | None = utc_column()
    failed_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)
