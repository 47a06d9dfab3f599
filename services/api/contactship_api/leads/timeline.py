"""Everything that happened to a lead's person, newest first, from several tables in one order.

Each table is a branch of one `UNION ALL` with a limit of its own, so a page costs as much on a long history as on a
short one. A branch has the columns `at`, `id`, `type`, `actor`, `data`, and is shown to whoever has its right.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.http.problems import BadCursor
from contactship_api.http.schemas import CursorMeta, Out, UtcTime
from contactship_api.leads import queries
from contactship_api.leads.missing import lead_missing
from contactship_common.models import Client, Lead, LeadEvent, Meeting, MeetingClassification, Seller


class TimelineItem(Out):
    """One thing that happened. `type` is such as `created`, `status_changed`, `summarized`, `merged`, `synced`,
    `meeting`, `meeting_classified`."""

    id: UUID
    type: str
    at: UtcTime
    actor: str | None
    data: dict[str, Any]


class Timeline(Out):
    data: list[TimelineItem]
    meta: CursorMeta


def _branch(at: Any, row_id: Any, kind: Any, actor: Any, data: Any) -> sa.Select[Any]:
    def text(value: Any) -> Any:
        return sa.cast(value, sa.Text)

    return sa.select(
        at.label("at"),
        row_id.label("id"),
        text(kind).label("type"),
        text(actor).label("actor"),
        sa.cast(data, JSONB).label("data"),
    )


def _events(lead_id: UUID) -> sa.Select[Any]:
    event = LeadEvent
    rows = _branch(col(event.created_at), col(event.id), col(event.type), col(event.actor), col(event.data))
    return rows.where(col(event.lead_id) == lead_id)


def _meetings(lead_id: UUID) -> sa.Select[Any]:
    data = sa.func.jsonb_build_object(
        "meetingId", col(Meeting.id),
        "status", col(Meeting.status),
        "sellerName", col(Seller.name),
        "durationMinutes", col(Meeting.duration_minutes),
    )  # fmt: skip
    rows = _branch(col(Meeting.meeting_at), col(Meeting.id), sa.literal("meeting"), sa.null(), data)
    rows = rows.join(Seller, col(Seller.id) == col(Meeting.seller_id))
    return rows.join(Client, col(Client.id) == col(Meeting.client_id)).where(col(Client.lead_id) == lead_id)


def _classifications(lead_id: UUID) -> sa.Select[Any]:
    told = MeetingClassification
    data = sa.func.jsonb_build_object(
        "meetingId", col(told.meeting_id), "summary", col(told.summary), "sentiment", col(told.sentiment)
    )
    kind, actor = sa.literal("meeting_classified"), sa.literal("ai")
    rows = _branch(col(told.processed_at), col(told.id), kind, actor, data).where(col(told.is_current))
    rows = rows.join(Meeting, col(Meeting.id) == col(told.meeting_id))
    return rows.join(Client, col(Client.id) == col(Meeting.client_id)).where(col(Client.lead_id) == lead_id)


Branch = tuple[Scope, Callable[[UUID], sa.Select[Any]]]
BRANCHES: tuple[Branch, ...] = (
    (Scope.LEADS_READ, _events),
    (Scope.MEETINGS_READ, _meetings),
    (Scope.MEETINGS_READ, _classifications),
)


async def read(session: AsyncSession, who: Principal, lead_id: UUID, *, limit: int, cursor: str | None) -> Timeline:
    """One page. What has no place of its own in time is ordered by its id; a merged lead's past comes with it.

    Raises:
        LeadNotFound, BadCursor
    """
    seen = queries.visible(who).with_only_columns(col(Lead.id)).where(col(Lead.id) == lead_id)
    if (await session.execute(seen)).first() is None:
        raise await lead_missing(session, lead_id)
    position = _position(cursor) if cursor else None
    parts = [_newest(branch(lead_id), position, limit + 1).subquery() for scope, branch in BRANCHES if who.may(scope)]
    everything = sa.union_all(*(sa.select(part) for part in parts)).subquery()
    newest = sa.select(everything).order_by(everything.c.at.desc(), everything.c.id.desc()).limit(limit + 1)
    rows = (await session.execute(newest)).all()
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = encode_cursor("timeline", last.at.isoformat(), str(last.id))
    items = [TimelineItem.model_validate(row) for row in rows[:limit]]
    return Timeline(data=items, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))


def _newest(branch: sa.Select[Any], position: Any, most: int) -> sa.Select[Any]:
    at, row_id = branch.selected_columns["at"], branch.selected_columns["id"]
    if position is not None:
        branch = branch.where(sa.tuple_(at, row_id) < position)
    return branch.order_by(at.desc(), row_id.desc()).limit(most)


def _position(cursor: str) -> Any:
    at, row_id = decode_cursor("timeline", cursor, 2)
    try:
        moment = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        raise BadCursor from None
    return sa.tuple_(sa.literal(moment, sa.DateTime(timezone=True)), sa.literal(UUID(row_id), sa.Uuid()))
