"""What people say about a model's answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class AIFeedback(SQLModel, table=True):
    """One verdict. Append-only: the newest a subject and field counts.

    `model_value` and the model's names are those of the answer that was judged, as they were then.
    """

    __tablename__ = "ai_feedback"
    __table_args__ = (
        sa.CheckConstraint("verdict IN ('correct', 'wrong')", name="verdict"),
        sa.CheckConstraint("subject_type IN ('meeting', 'lead', 'conversation')", name="subject_type"),
        sa.Index("ix_ai_feedback_subject", "subject_id", "subject_type", "field", "id"),
    )

    id: UUID = id_column()
    subject_type: str
    # No foreign key: what was learnt outlives what it was learnt from.
    subject_id: UUID
    field: str | None = Field(default=None, max_length=64)
    verdict: str
    # A correction to "no value" is JSON null; SQL NULL means that no correction was given.
    corrected_value: Any = Field(default=None, sa_column=sa.Column(JSONB(none_as_null=False), nullable=True))
    has_correction: bool = False
    model_value: Any = Field(default=None, sa_column=sa.Column(JSONB(none_as_null=True), nullable=True))
    provider: str | None = None
    model: str | None = None
    prompt: str | None = None
    prompt_version: str | None = None
    actor: str
    created_at: datetime = utc_column(default_now=True, index=True)
