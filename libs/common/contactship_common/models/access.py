"""What lets people and machines in: families of refresh tokens, and API keys."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class TokenFamily(SQLModel, table=True):
    """One login. Its refresh tokens are computed from the row, so nothing secret is stored."""

    __tablename__ = "token_families"

    id: UUID = id_column()
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    generation: int = 1
    rotated_at: datetime = utc_column(default_now=True)
    expires_at: datetime = utc_column(nullable=False, index=True)
    revoked_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)


class ApiKey(SQLModel, table=True):
    """A machine's credentials. Only a keyed hash of the secret is stored."""

    __tablename__ = "api_keys"

    id: UUID = id_column()
    name: str = Field(max_length=255)
    secret_hash: bytes = Field(sa_type=sa.LargeBinary)
    scopes: list[str] = Field(sa_type=ARRAY(sa.String))
    created_by: UUID | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL", index=True)
    expires_at: datetime | None = utc_column()
    last_used_at: datetime | None = utc_column()
    created_at: datetime = utc_column(default_now=True)
