"""People who log in."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class Role(StrEnum):
    ADMIN = "ADMIN"
    SALES_AGENT = "SALES_AGENT"


class User(SQLModel, table=True):
    __tablename__ = "users"
    __table_args__ = (
        sa.CheckConstraint("role IN ('ADMIN', 'SALES_AGENT')", name="role"),
        sa.CheckConstraint("email = lower(btrim(email))", name="email_normalised"),
        sa.Index("uq_users_email", "email", unique=True),
    )

    id: UUID = id_column()
    email: str = Field(max_length=255)
    name: str | None = Field(default=None, max_length=255)
    password_hash: str
    role: str = Role.SALES_AGENT
    active: bool = True
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)
