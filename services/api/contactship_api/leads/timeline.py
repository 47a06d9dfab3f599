"""Everything that happened to a lead's person, newest first."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.http.schemas import CursorMeta, Out, UtcTime
from contactship_api.leads import queries
from contactship_api.leads.missing import lead_missing
from contactship_common.models import Lead, LeadEvent


class TimelineItem(Out):
    """One thing that happened. `type` is such as `created`, `status_changed`, `summarized`, `merged`, `synced`."""

    id: UUID
    type: str
    at: UtcTime
    actor: str | None
    data: dict[str, Any]


class Timeline(Out):
    data: list[TimelineItem]
    meta: CursorMeta


async def read(session: AsyncSession, who: Principal, lead_id: UUID, *, limit: int, cursor: str | None) -> Timeline:
    """One page. Ids are UUIDv7, so they order what happened by time; a merged lead's past comes with it.

    Raises:
        LeadNotFound
    """
    seen = queries.visible(who).with_only_columns(col(Lead.id)).where(col(Lead.id) == lead_id)
    if (await session.execute(seen)).first() is None:
        raise await lead_missing(session, lead_id)
    statement = sa.select(LeadEvent).where(col(LeadEvent.lead_id) == lead_id)
    if cursor:
        statement = statement.where(col(LeadEvent.id) < UUID(decode_cursor("timeline", cursor, 1)[0]))
    rows = list((await session.execute(statement.order_by(col(LeadEvent.id).desc()).limit(limit + 1))).scalars())
    following = encode_cursor("timeline", str(rows[limit - 1].id)) if len(rows) > limit else None
    items = [
        TimelineItem(id=row.id, type=row.type, at=row.created_at, actor=row.actor, data=row.data)
        for row in rows[:limit]
    ]
    return Timeline(data=items, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))
