"""People, the leads that stand for them, and what happened to those leads."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class LeadSource(StrEnum):
    MANUAL = "manual"
    EXTERNAL_API = "external_api"
    CSV = "csv"
    WEBHOOK = "webhook"


class LeadStatus(StrEnum):
    NEW = "new"
    CONTACTED = "contacted"
    QUALIFIED = "qualified"
    CONVERTED = "converted"
    LOST = "lost"


def _one_of(column: str, values: type[StrEnum]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


class Person(SQLModel, table=True):
    """A human being; reached only through their leads."""

    __tablename__ = "persons"

    id: UUID = id_column()
    first_name: str = Field(max_length=255)
    last_name: str = Field(max_length=255)
    phone: str | None = Field(default=None, max_length=50)
    phone_e164: str | None = Field(default=None, max_length=20, index=True)
    address: dict[str, Any] | None = Field(default=None, sa_type=JSONB)
    date_of_birth: date | None = None
    nationality: str | None = Field(default=None, max_length=100)
    gender: str | None = Field(default=None, max_length=20)
    picture_url: str | None = Field(default=None, max_length=2_048)
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class Lead(SQLModel, table=True):
    """A person we may do business with. `version` rises with every write; it is half of the ETag."""

    __tablename__ = "leads"
    __table_args__ = (
        _one_of("source", LeadSource),
        _one_of("status", LeadStatus),
        sa.CheckConstraint("email IS NOT NULL OR source = 'webhook'", name="email_needed"),
        sa.CheckConstraint("email = lower(btrim(email))", name="email_normalised"),
        # The e-mail is stored normalised (the check above), so a plain unique index is case-insensitive.
        sa.Index("uq_leads_email", "email", unique=True),
        sa.Index(
            "uq_leads_source_external_id",
            "source",
            "external_id",
            unique=True,
            postgresql_where=sa.text("external_id IS NOT NULL"),
        ),
        # One index a filter, each ending in the id so that it also gives the order of the list.
        sa.Index("ix_leads_created_at", "created_at", "id"),
        sa.Index("ix_leads_updated_at", "updated_at", "id"),
        sa.Index("ix_leads_status", "status", "created_at", "id"),
        sa.Index("ix_leads_source", "source", "created_at", "id"),
        sa.Index("ix_leads_owner_id", "owner_id", "created_at", "id"),
        sa.Index("ix_leads_person_id", "person_id"),
        sa.Index("ix_leads_name", "name_sort", "id"),
    )

    id: UUID = id_column()
    person_id: UUID = Field(foreign_key="persons.id", ondelete="CASCADE")
    email: str | None = Field(default=None, max_length=255)
    external_id: str | None = Field(default=None, max_length=255)
    source: str = LeadSource.MANUAL
    status: str = LeadStatus.NEW
    # `metadata` is taken by SQLAlchemy's declarative base, hence the attribute's other name.
    meta: dict[str, Any] | None = Field(default=None, sa_column=sa.Column("metadata", JSONB))
    synced_at: datetime | None = utc_column()
    summary: str | None = None
    next_action: str | None = None
    summary_generated_at: datetime | None = utc_column()
    summary_hash: str | None = None
    # The `facts_changed_at` that the summary was made from: equal means fresh, whatever any clock says.
    summary_facts_at: datetime | None = utc_column()
    facts_changed_at: datetime = utc_column(default_now=True)
    owner_id: UUID | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    version: int = 1
    search_text: str = ""
    name_sort: str = ""
    created_at: datetime = utc_column(default_now=True)
    updated_at: datetime = utc_column(default_now=True)


class LeadPhone(SQLModel, table=True):
    """Which lead answers a number. Insert-or-get here decides every race for a number."""

    __tablename__ = "lead_phones"

    phone_e164: str = Field(primary_key=True, max_length=20)
    lead_id: UUID = Field(foreign_key="leads.id", ondelete="CASCADE", index=True)


class LeadEvent(SQLModel, table=True):
    """What happened to a lead, written in the transaction of the change. Append-only."""

    __tablename__ = "lead_events"
    __table_args__ = (sa.Index("ix_lead_events_created_at", "lead_id", "created_at", "id"),)

    id: UUID = id_column()
    lead_id: UUID = Field(foreign_key="leads.id", ondelete="CASCADE")
    type: str
    actor: str | None = None
    data: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    created_at: datetime = utc_column(default_now=True)


class MergedLead(SQLModel, table=True):
    """Where a merged lead's id leads now. Kept for good, so that old links get a useful 404."""

    __tablename__ = "merged_leads"

    id: UUID = Field(primary_key=True)
    into_id: UUID = Field(index=True)
    created_at: datetime = utc_column(default_now=True)
