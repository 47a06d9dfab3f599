"""The latest lines of conversations and meetings that a lead's summary is made from."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_ai_worker.conversation_analysis import told
from contactship_common.models import Client, Conversation, Meeting, MeetingClassification, Message

MOST_MEETINGS = 5
MOST_MESSAGES = 10
TRANSCRIPT_CHARS = 300


async def latest_lines(session: AsyncSession, lead_id: UUID) -> list[str]:
    """One line a meeting or message, oldest first, with its day (UTC)."""
    lines = [*await _meetings(session, lead_id), *await _messages(session, lead_id)]
    return [text for _, text in sorted(lines, key=lambda line: line[0])]


async def _meetings(session: AsyncSession, lead_id: UUID) -> list[tuple[Any, str]]:
    """What a meeting's classification says, else how its transcript begins. Meetings with neither are passed over."""
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
    return [(row.at, f"Reunión {row.at:%Y-%m-%d}: {' '.join(row.said.split())}") for row in reversed(rows)]


async def _messages(session: AsyncSession, lead_id: UUID) -> list[tuple[Any, str]]:
    """The newest messages of all conversations; each conversation's newest first, which an index has."""
    newest = (
        sa.select(Message)
        .where(col(Message.conversation_id) == col(Conversation.id))
        .order_by(col(Message.created_at).desc(), col(Message.id).desc())
        .limit(MOST_MESSAGES)
        .correlate(Conversation)
        .lateral("newest")
    )
    message = sa.orm.aliased(Message, newest)
    at = sa.func.timezone("UTC", col(message.created_at)).label("at")
    statement = (
        sa.select(at, message)
        .select_from(Conversation)
        .join(newest, sa.true())
        .where(col(Conversation.lead_id) == lead_id)
        .order_by(newest.c.created_at.desc(), newest.c.seq.desc(), newest.c.id.desc())
        .limit(MOST_MESSAGES)
    )
    rows = (await session.execute(statement)).all()
    return [
        (at, f"{at:%Y-%m-%d} {message.sender_type.lower()}: {' '.join(told(message).split())}")
        for at, message in reversed(rows)
    ]
