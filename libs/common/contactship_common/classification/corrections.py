"""People's corrections of a meeting's classification, laid over what a model says now and whenever it says it again.

The newest correction of a field counts. A later verdict without a value (`correct`, or `wrong` alone) changes nothing:
it judges what is shown, and what is shown stays.

Hazard: a correction and a new classification at the same moment must see one another. Whoever writes either first
takes `lock_meeting`, then reads.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.classification.categories import FIXED, Category, allowed_values
from contactship_common.models.ai_feedback import AIFeedback
from contactship_common.models.meeting import Meeting, MeetingClassification

_COLUMNS = dict(zip(FIXED, ("urgency", "language", "lost_client_bad_meeting", "sentiment"), strict=True))


async def lock_meeting(session: AsyncSession, meeting_id: UUID) -> bool:
    """Hold the meeting until the transaction ends; False: it is gone."""
    locked = sa.select(col(Meeting.id)).where(col(Meeting.id) == meeting_id).with_for_update()
    return (await session.execute(locked)).first() is not None


async def newest_corrections(session: AsyncSession, meeting_id: UUID) -> dict[str, Any]:
    """Field, by its name in the API, to the value that a person gave it last; None is a value."""
    statement = (
        sa.select(col(AIFeedback.field), col(AIFeedback.corrected_value))
        .where(
            col(AIFeedback.subject_type) == "meeting",
            col(AIFeedback.subject_id) == meeting_id,
            col(AIFeedback.has_correction),
        )
        .ext(distinct_on(col(AIFeedback.field)))
        .order_by(col(AIFeedback.field), col(AIFeedback.created_at).desc(), col(AIFeedback.id).desc())
    )
    return {row.field: row.corrected_value for row in await session.execute(statement)}


def overlay(row: MeetingClassification, corrections: Mapping[str, Any], categories: Sequence[Category]) -> None:
    """Write `corrections` over the row's labels and fixed columns and name them in `corrected_fields`; `answer` stays
    as the model gave it. A correction that today's categories do not allow is left out."""
    holding = {f: v for f, v in corrections.items() if is_allowed(categories, f, v)}
    # New objects: a JSONB column does not notice when its value is changed in place.
    row.labels = {**row.labels, **{f: v for f, v in holding.items() if f not in _COLUMNS}}
    for field, column in _COLUMNS.items():
        if field in holding:
            setattr(row, column, holding[field])
    row.corrected_fields = sorted({*row.corrected_fields, *holding})


def is_allowed(categories: Sequence[Category], field: str, value: Any) -> bool:
    """Whether `value` may stand in `field`."""
    allowed = allowed_values(tuple(categories), field)
    # 1 == True in Python; in JSON they are different values.
    return allowed is not None and any(value == other and type(value) is type(other) for other in allowed)


def shown_value(row: MeetingClassification, field: str) -> Any:
    """What the row shows in `field`, by its name in the API."""
    return getattr(row, _COLUMNS[field]) if field in _COLUMNS else row.labels.get(field)
