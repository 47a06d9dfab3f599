"""Finished answers, kept so that a repeated request with the same Idempotency-Key gets the same one."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import utc_column


class IdempotencyRecord(SQLModel, table=True):
    __tablename__ = "idempotency_keys"

    caller: str = Field(primary_key=True)
    key: str = Field(primary_key=True, max_length=255)
    request_hash: bytes = Field(sa_type=sa.LargeBinary)
    status: int
    headers: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    body: bytes = Field(sa_type=sa.LargeBinary)
    created_at: datetime = utc_column(default_now=True, index=True)
