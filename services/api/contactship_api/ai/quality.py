"""How often people agree with models."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.ai.schemas import Quality, QualityRow, Subject, share
from contactship_common.models import AIFeedback

_null = sa.literal_column("'null'::jsonb", JSONB)
# A correction says what is right: the model was, if it said the same.
_model_is_right = sa.case(
    (
        col(AIFeedback.has_correction),
        sa.func.nullif(col(AIFeedback.corrected_value), _null).is_not_distinct_from(col(AIFeedback.model_value)),
    ),
    else_=col(AIFeedback.verdict) == "correct",
)


async def read(
    session: AsyncSession, since: datetime | None, until: datetime | None, subject_type: Subject | None
) -> Quality:
    """Agreement per field, model and prompt version, over verdicts given in `[since, until)`."""
    names = ("subject_type", "field", "provider", "model", "prompt", "prompt_version")
    columns = [getattr(AIFeedback, name) for name in names]
    # The same value of the same model about the same field is one answer, however often it was given.
    answer = [*columns, AIFeedback.actor, AIFeedback.subject_id, AIFeedback.model_value]
    newest = (
        sa.select(*columns, _model_is_right.label("right"), col(AIFeedback.has_correction))
        .where(col(AIFeedback.model).is_not(None))
        .ext(distinct_on(*answer))
        .order_by(*answer, col(AIFeedback.created_at).desc(), col(AIFeedback.id).desc())
    )
    if since is not None:
        newest = newest.where(col(AIFeedback.created_at) >= since)
    if until is not None:
        newest = newest.where(col(AIFeedback.created_at) < until)
    if subject_type is not None:
        newest = newest.where(col(AIFeedback.subject_type) == subject_type)
    verdicts = newest.subquery()
    keys = [verdicts.c[name] for name in names]
    statement = (
        sa.select(
            *keys,
            sa.func.count().label("verdicts"),
            sa.func.count().filter(verdicts.c.right).label("correct"),
            sa.func.count().filter(verdicts.c.has_correction).label("corrections"),
        )
        .group_by(*keys)
        .order_by(*(key.asc().nulls_first() for key in keys))
    )
    rows = (await session.execute(statement)).mappings()
    return Quality(
        data=[
            QualityRow(**row, wrong=row["verdicts"] - row["correct"], agreement=share(row["correct"], row["verdicts"]))
            for row in rows
        ]
    )
