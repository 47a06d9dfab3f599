"""The latest lines of conversations and meetings that a lead's summary is made from."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.models import Client, Meeting, MeetingClassification

MOST_MEETINGS = 5
TRANSCRIPT_CHARS = 300


async def latest_lines(session: AsyncSession, lead_id: UUID) -> list[str]:
    """One line a meeting, oldest first: its day (UTC), and what its classification says, else how its transcript
    begins. Meetings with neither are passed over."""
    said = sa.func.coalesce(
        col(MeetingClassification.summary), sa.func.left(col(Meeting.transcript), TRANSCRIPT_CHARS)
    ).label("said")
    current = sa.and_(col(MeetingClassification.meeting_id) == col(Meeting.id), col(MeetingClassification.is_current))
    statement = (
        sa.select(sa.func.timezone("UTC", col(Meeting.meeting_at)).label("at"), said)
        .join(Client, col(Client.id) == col(Meeting.client_id))
        .outerjoin(MeetingClassification, current)
        .where(col(Client.lead_id) == lead_id, said.element.is_not(None))
        .order_by(col(Meeting.meeting_at).desc(), col(Meeting.id).desc())
        .limit(MOST_MEETINGS)
    )
    rows = (await session.execute(statement)).all()
    return [f"Reunión {row.at:%Y-%m-%d}: {' '.join(row.said.split())}" for row in reversed(rows)]
