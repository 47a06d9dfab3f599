"""Conversations with leads, and their messages."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class Channel(StrEnum):
    """`web` and `email` are recorded only; messages of `whatsapp` and `sms` are also delivered."""

    WEB = "web"
    WHATSAPP = "whatsapp"
    SMS = "sms"
    EMAIL = "email"


DELIVERED_CHANNELS = frozenset({Channel.WHATSAPP, Channel.SMS})


class ConversationStatus(StrEnum):
    OPEN = "OPEN"
    PENDING = "PENDING"
    CLOSED = "CLOSED"


class Priority(StrEnum):
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class SenderType(StrEnum):
    LEAD = "LEAD"
    AGENT = "AGENT"
    SYSTEM = "SYSTEM"


class ContentType(StrEnum):
    TEXT = "TEXT"
    IMAGE = "IMAGE"
    FILE = "FILE"
    AUDIO = "AUDIO"
    VIDEO = "VIDEO"


class MessageStatus(StrEnum):
    PENDING = "PENDING"
    SENT = "SENT"
    DELIVERED = "DELIVERED"
    READ = "READ"
    FAILED = "FAILED"


def _one_of(column: str, values: type[StrEnum]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


_UNREPLIED = "last_lead_seq > last_agent_seq AND status <> 'CLOSED'"


class Conversation(SQLModel, table=True):
    """One thread with a lead on one channel. Everything about its messages that lists need stands here, written in
    the statement that adds the message (`contactship_common.conversations.posting`), so the two never disagree."""

    __tablename__ = "conversations"
    __table_args__ = (
        _one_of("channel", Channel),
        _one_of("status", ConversationStatus),
        _one_of("ai_priority", Priority),
        sa.Index(
            "uq_conversations_open",
            "lead_id",
            "channel",
            unique=True,
            postgresql_where=sa.text("status IN ('OPEN', 'PENDING')"),
        ),
        sa.Index("ix_conversations_lead_id", "lead_id", "id"),
        # The list's order, alone and behind each filter that narrows it well.
        sa.Index("ix_conversations_activity_at", "activity_at", "id"),
        sa.Index("ix_conversations_assigned_agent_id", "assigned_agent_id", "activity_at", "id"),
        sa.Index("ix_conversations_status", "status", "activity_at", "id"),
        sa.Index("ix_conversations_channel", "channel", "activity_at", "id"),
        sa.Index("ix_conversations_ai_priority", "ai_priority", "activity_at", "id"),
        sa.Index("ix_conversations_unreplied", "activity_at", "id", postgresql_where=sa.text("unreplied")),
        sa.Index("ix_conversations_ai_tags", "ai_tags", postgresql_using="gin"),
    )

    id: UUID = id_column()
    lead_id: UUID = Field(foreign_key="leads.id", ondelete="CASCADE")
    assigned_agent_id: UUID | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    channel: str
    status: str = ConversationStatus.OPEN
    last_seq: int = 0
    last_message_at: datetime | None = utc_column()
    last_message_sender_type: str | None = None
    last_lead_seq: int = 0
    last_agent_seq: int = 0
    last_agent_reply_at: datetime | None = utc_column()
    unread_count: int = 0
    # The last LEAD message is newer than the last agent reply, and the conversation is not CLOSED: the one definition.
    unreplied: bool = Field(
        default=None,
        sa_column=sa.Column(sa.Boolean, sa.Computed(_UNREPLIED, persisted=True), nullable=False),
    )
    # What the list is ordered by: never null, so that conversations without messages come last and cursors are simple.
    activity_at: datetime = Field(
        default=None,
        sa_column=sa.Column(
            sa.DateTime(timezone=True),
            sa.Computed("coalesce(last_message_at, to_timestamp(0))", persisted=True),
            nullable=False,
        ),
    )
    ai_summary: str | None = Field(default=None, max_length=200)
    ai_priority: str | None = None
    # An array and not JSON: the planner knows how common each element is, and so whether to walk or to look it up.
    ai_tags: list[str] = Field(default_factory=list, sa_type=ARRAY(sa.Text))
    ai_updated_at: datetime | None = utc_column()
    analysed_up_to: int = 0
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class Message(SQLModel, table=True):
    """One message. `seq` counts from 1 in its conversation and is the order of commits; `sent_at` is what a provider
    said and is only shown."""

    __tablename__ = "messages"
    __table_args__ = (
        _one_of("sender_type", SenderType),
        _one_of("content_type", ContentType),
        _one_of("status", MessageStatus),
        sa.Index("uq_messages_seq", "conversation_id", "seq", unique=True),
        # A lead's timeline and what its summary is made from.
        sa.Index("ix_messages_created_at", "conversation_id", "created_at", "id"),
        sa.Index(
            "ix_messages_unread",
            "conversation_id",
            postgresql_where=sa.text("sender_type = 'LEAD' AND read_at IS NULL"),
        ),
        sa.Index(
            "uq_messages_provider_message_id",
            "provider",
            "provider_message_id",
            unique=True,
            postgresql_where=sa.text("provider_message_id IS NOT NULL"),
        ),
    )

    id: UUID = id_column()
    conversation_id: UUID = Field(foreign_key="conversations.id", ondelete="CASCADE")
    seq: int
    interaction_id: UUID | None = Field(default=None, foreign_key="interactions.id", ondelete="SET NULL", index=True)
    sender_type: str
    sender_user_id: UUID | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL", index=True)
    content_text: str | None = None
    content_type: str = ContentType.TEXT
    media_url: str | None = Field(default=None, max_length=2_048)
    status: str = MessageStatus.SENT
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, max_length=500)
    provider: str | None = Field(default=None, max_length=32)
    provider_message_id: str | None = Field(default=None, max_length=255)
    sent_at: datetime | None = utc_column()
    delivered_at: datetime | None = utc_column()
    read_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)
