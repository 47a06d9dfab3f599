"""The latest lines of conversations and meetings that a lead's summary is made from."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_ai_worker.conversation_analysis import told

MOST_MEETINGS = 5
MOST_MESSAGES = 10
TRANSCRIPT_CHARS = 300

# One round trip, and put together once: for each task again would cost more than executing it. Of a meeting what its
# classification says, else how its transcript begins; those with neither are passed over. Of the messages of all
# conversations the newest: each conversation's newest first, which an index has.
_LINES = sa.text(f"""
WITH meeting AS (
     SELECT timezone('UTC', m.meeting_at) AS at, coalesce(k.summary, left(m.transcript, {TRANSCRIPT_CHARS})) AS content,
            row_number() OVER (ORDER BY m.meeting_at DESC, m.id DESC) AS place
       FROM clients c
       JOIN meetings m ON m.client_id = c.id
  LEFT JOIN meeting_classifications k ON k.meeting_id = m.id AND k.is_current
      WHERE c.lead_id = :lead_id AND coalesce(k.summary, m.transcript) IS NOT NULL
   ORDER BY place LIMIT {MOST_MEETINGS}),
message AS (
     SELECT timezone('UTC', n.created_at) AS at, n.sender_type, n.content_type, n.content_text AS content,
            row_number() OVER (ORDER BY n.created_at DESC, n.seq DESC, n.id DESC) AS place
       FROM conversations v, LATERAL (
            SELECT * FROM messages WHERE conversation_id = v.id
             ORDER BY created_at DESC, id DESC LIMIT {MOST_MESSAGES}) n
      WHERE v.lead_id = :lead_id
   ORDER BY place LIMIT {MOST_MESSAGES})
SELECT at, NULL AS sender_type, NULL AS content_type, content, place FROM meeting
 UNION ALL
SELECT at, sender_type, content_type, content, place FROM message
""")  # noqa: S608  # all constants


async def latest_lines(session: AsyncSession, lead_id: UUID) -> list[str]:
    """One line a meeting or message, oldest first, with its day (UTC)."""
    rows = (await session.execute(_LINES, {"lead_id": lead_id})).all()
    return [_line(row) for row in sorted(rows, key=lambda row: (row.at, row.sender_type is not None, -row.place))]


def _line(row: sa.Row[Any]) -> str:
    if row.sender_type is None:
        return f"Reunión {row.at:%Y-%m-%d}: {' '.join(row.content.split())}"
    text = " ".join(told(row.content_type, row.content).split())
    return f"{row.at:%Y-%m-%d} {row.sender_type.lower()}: {text}"
