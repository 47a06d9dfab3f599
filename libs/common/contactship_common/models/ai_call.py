"""One row a call to a language model: what was asked for, what came of it, what it cost."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class CallOutcome(StrEnum):
    """How a call ended; only `success` gave something that may be stored."""

    SUCCESS = "success"
    INVALID = "invalid"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    ERROR = "error"
    TIMEOUT = "timeout"


class AICall(SQLModel, table=True):
    """Append-only, written however the task's run ends; never holds a prompt, an answer or a key."""

    __tablename__ = "ai_calls"
    __table_args__ = (
        sa.CheckConstraint(f"outcome in ({', '.join(repr(o.value) for o in CallOutcome)})", name="outcome"),
    )

    id: UUID = id_column()
    # No foreign key: calls outlive the tasks they were made for.
    task_id: UUID | None = Field(default=None, index=True)
    kind: str = Field(max_length=64)
    provider: str = Field(max_length=32)
    model: str = Field(max_length=128)
    prompt: str = Field(max_length=64)
    prompt_version: str = Field(max_length=32)
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = Field(default=0, sa_type=sa.BigInteger)
    latency_ms: int = 0
    outcome: str = Field(max_length=16)
    error_code: str | None = Field(default=None, max_length=64)
    created_at: datetime | None = utc_column(default_now=True, index=True)
