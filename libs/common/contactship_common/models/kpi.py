"""What the KPIs are read from. The database keeps all of it by triggers; nothing else writes here.

`kpi_meetings` repeats what counts of each meeting in one narrow row. The other three are sums of it whose rows are
added up when they are read: a change appends rows (negative ones too), so writers never wait for each other, and
`kpi_fold()` joins the rows of a key now and then. `kpi_rebuild()` makes everything again. The sums are integers of 4
bytes, because PostgreSQL adds those up twice as fast as longer ones.
"""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import utc_column


def _row_number() -> int | None:
    number: int | None = Field(
        default=None, sa_column=sa.Column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    )
    return number


class KpiMeeting(SQLModel, table=True):
    """One meeting with its current classification; `confidence` in hundredths."""

    __tablename__ = "kpi_meetings"
    __table_args__ = (
        sa.Index("ix_kpi_meetings_client", "client_id", "meeting_at", postgresql_include=["sentiment"]),
        sa.Index(
            "ix_kpi_meetings_meeting_at",
            "meeting_at",
            postgresql_include=["seller_id", "client_id", "status", "duration_minutes", "sentiment", "confidence"],
        ),
        sa.Index(
            "ix_kpi_meetings_seller",
            "seller_id",
            "meeting_at",
            postgresql_include=["client_id", "status", "duration_minutes", "sentiment"],
        ),
    )

    # No foreign keys: the triggers follow the meeting wherever it goes.
    meeting_id: UUID = Field(primary_key=True)
    client_id: UUID
    seller_id: UUID
    meeting_at: datetime = utc_column(nullable=False)
    status: str
    duration_minutes: int | None = None
    classification_id: UUID | None = None
    sentiment: str | None = None
    confidence: int | None = None
    labels: dict[str, str | None] | None = Field(default=None, sa_type=JSONB(none_as_null=True))


class KpiSlot(SQLModel, table=True):
    """Meetings that begin in a quarter of an hour: every time zone's days are made of these."""

    __tablename__ = "kpi_slots"

    id: int | None = _row_number()
    slot: datetime = utc_column(nullable=False)
    total: int
    closed: int
    cancelled: int
    timed: int
    minutes: int


class KpiSellerDay(SQLModel, table=True):
    """A seller's meetings of a UTC day; `timed` have a duration, `confidence` is a sum of hundredths."""

    __tablename__ = "kpi_seller_days"

    id: int | None = _row_number()
    day: date
    seller_id: UUID
    total: int
    closed: int
    timed: int
    minutes: int
    classified: int
    positive: int
    confidence: int


class KpiLabelDay(SQLModel, table=True):
    """How many meetings of a UTC day have this value of a category."""

    __tablename__ = "kpi_label_days"

    id: int | None = _row_number()
    day: date
    category: str
    value: str
    meetings: int
