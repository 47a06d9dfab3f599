"""Webhooks: what providers sent us, and who wants to hear from us."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class InboxEntry(SQLModel, table=True):
    """One authenticated webhook call, stored before it is understood. `handled_at` is set with its effects; what
    cannot be understood keeps its `error` and can be replayed. `headers` hold no secrets."""

    __tablename__ = "webhook_inbox"
    __table_args__ = (
        sa.Index("uq_webhook_inbox_key", "provider", "key", unique=True),
        sa.Index("ix_webhook_inbox_unhandled", "id", postgresql_where=sa.text("handled_at IS NULL")),
        sa.Index("ix_webhook_inbox_handled_at", "handled_at", postgresql_where=sa.text("handled_at IS NOT NULL")),
        sa.Index("ix_webhook_inbox_provider", "provider", "id"),
    )

    id: UUID = id_column()
    provider: str = Field(max_length=32)
    kind: str = Field(max_length=32)  # which route: call, whatsapp, sms_status, sms_inbound
    key: str = Field(max_length=512)
    headers: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    query: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    content_type: str | None = Field(default=None, max_length=255)
    # None once the retention has emptied a handled entry.
    body: bytes | None = None
    attempts: int = 0
    error: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    request_id: str | None = None
    received_at: datetime = utc_column(default_now=True)
    handled_at: datetime | None = utc_column()


class WebhookEndpoint(SQLModel, table=True):
    """A receiver of our events. `secret` signs; during a rotation both secrets do until `previous_secret_until`."""

    __tablename__ = "webhook_endpoints"

    id: UUID = id_column()
    url: str = Field(max_length=2_048)
    description: str | None = Field(default=None, max_length=255)
    events: list[str] = Field(default_factory=list, sa_type=JSONB)
    secret: str = Field(max_length=255)
    previous_secret: str | None = Field(default=None, max_length=255)
    previous_secret_until: datetime | None = utc_column()
    active: bool = True
    # Since when every attempt has failed; five days of it disable the endpoint.
    failing_since: datetime | None = utc_column()
    disabled_at: datetime | None = utc_column()
    disabled_reason: str | None = Field(default=None, max_length=64)
    created_by: str | None = None
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)
