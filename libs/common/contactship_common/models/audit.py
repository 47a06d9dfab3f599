"""The append-only record of important acts. The database itself refuses UPDATE and DELETE (see the migration)."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class AuditLog(SQLModel, table=True):
    __tablename__ = "audit_logs"
    __table_args__ = (
        sa.Index("ix_audit_logs_actor", "actor", "id"),
        sa.Index("ix_audit_logs_action", "action", "id"),
        sa.Index("ix_audit_logs_entity", "entity_type", "entity_id", "id"),
    )

    id: UUID = id_column()
    actor: str
    action: str
    entity_type: str | None = None
    entity_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    data: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    created_at: datetime = utc_column(default_now=True)
