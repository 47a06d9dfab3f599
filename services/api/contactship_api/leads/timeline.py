"""Everything that happened to a lead's person, newest first, from several tables in one order.

Each table is a branch of one `UNION ALL` with a limit of its own, so a page costs as much on a long history as on a
short one. A branch has the columns `at`, `id`, `type`, `actor`, `data`, and is shown to whoever has its right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.access.visibility import sees_conversation
from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.http.problems import BadCursor
from contactship_api.http.schemas import CursorMeta, Out, UtcTime
from contactship_api.leads import queries
from contactship_api.leads.missing import lead_missing
from contactship_common.models import (
    CallDetail,
    Client,
    Conversation,
    Interaction,
    InteractionChannel,
    Lead,
    LeadEvent,
    Meeting,
    MeetingClassification,
    Message,
    Seller,
)

TEXT_CHARS = 500


class TimelineItem(Out):
    """One thing that happened. `type` is such as `created`, `status_changed`, `summarized`, `merged`, `synced`,
    `meeting`, `meeting_classified`, `message` and `call` (texts and transcripts are cut after 500 characters)."""

    id: UUID
    type: str
    at: UtcTime
    actor: str | None
    data: dict[str, Any]


class Timeline(Out):
    data: list[TimelineItem]
    meta: CursorMeta


@dataclass(frozen=True, slots=True)
class Ask:
    """One page of one lead's timeline: what comes after `position`, at most `most` rows."""

    who: Principal
    lead_id: UUID
    position: Any
    most: int

    def newest(self, branch: sa.Select[Any]) -> sa.Select[Any]:
        at, row_id = branch.selected_columns["at"], branch.selected_columns["id"]
        if self.position is not None:
            branch = branch.where(sa.tuple_(at, row_id) < self.position)
        return branch.order_by(at.desc(), row_id.desc()).limit(self.most)


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


def _events(ask: Ask) -> sa.Select[Any]:
    event = LeadEvent
    rows = _branch(col(event.created_at), col(event.id), col(event.type), col(event.actor), col(event.data))
    return rows.where(col(event.lead_id) == ask.lead_id)


def _meetings(ask: Ask) -> sa.Select[Any]:
    data = sa.func.jsonb_build_object(
        "meetingId", col(Meeting.id),
        "status", col(Meeting.status),
        "sellerName", col(Seller.name),
        "durationMinutes", col(Meeting.duration_minutes),
    )  # fmt: skip
    rows = _branch(col(Meeting.meeting_at), col(Meeting.id), sa.literal("meeting"), sa.null(), data)
    rows = rows.join(Seller, col(Seller.id) == col(Meeting.seller_id))
    return rows.join(Client, col(Client.id) == col(Meeting.client_id)).where(col(Client.lead_id) == ask.lead_id)


def _classifications(ask: Ask) -> sa.Select[Any]:
    told = MeetingClassification
    data = sa.func.jsonb_build_object(
        "meetingId", col(told.meeting_id), "summary", col(told.summary), "sentiment", col(told.sentiment)
    )
    kind, actor = sa.literal("meeting_classified"), sa.literal("ai")
    rows = _branch(col(told.processed_at), col(told.id), kind, actor, data).where(col(told.is_current))
    rows = rows.join(Meeting, col(Meeting.id) == col(told.meeting_id))
    return rows.join(Client, col(Client.id) == col(Meeting.client_id)).where(col(Client.lead_id) == ask.lead_id)


def _messages(ask: Ask) -> sa.Select[Any]:
    """The newest of each conversation that the caller sees, then the newest of these: an index has the former."""
    said = Message
    data = sa.func.jsonb_build_object(
        "conversationId", col(said.conversation_id),
        "channel", col(Conversation.channel),
        "senderType", col(said.sender_type),
        "contentType", col(said.content_type),
        "contentText", sa.func.left(col(said.content_text), TEXT_CHARS),
    )  # fmt: skip
    actor = sa.literal("user:") + sa.cast(col(said.sender_user_id), sa.Text)
    rows = _branch(col(said.created_at), col(said.id), sa.literal("message"), actor, data)
    newest = ask.newest(rows.where(col(said.conversation_id) == col(Conversation.id)))
    each = newest.correlate(Conversation).lateral("said")
    theirs = sa.select(each).select_from(Conversation).join(each, sa.true())
    return theirs.where(col(Conversation.lead_id) == ask.lead_id, sees_conversation(ask.who))


def _calls(ask: Ask) -> sa.Select[Any]:
    call, details = Interaction, CallDetail
    data = sa.func.jsonb_build_object(
        "interactionId", col(call.id),
        "status", col(call.status),
        "direction", col(call.direction),
        "outcome", col(call.outcome),
        "aiHandled", col(call.ai_handled),
        "durationSec", col(details.duration_sec),
        "summary", col(details.summary),
        "transcript", sa.func.left(col(details.transcript_text), TEXT_CHARS),
    )  # fmt: skip
    actor = sa.literal("provider:") + sa.func.lower(col(call.provider))
    rows = _branch(col(call.started_at), col(call.id), sa.literal("call"), actor, data)
    rows = rows.outerjoin(details, col(details.interaction_id) == col(call.id))
    return rows.where(col(call.lead_id) == ask.lead_id, col(call.channel) == InteractionChannel.CALL)


Branch = tuple[Scope, Callable[[Ask], sa.Select[Any]]]
BRANCHES: tuple[Branch, ...] = (
    (Scope.LEADS_READ, _events),
    (Scope.MEETINGS_READ, _meetings),
    (Scope.MEETINGS_READ, _classifications),
    (Scope.CONVERSATIONS_READ, _messages),
    (Scope.INTERACTIONS_READ, _calls),
)


async def read(session: AsyncSession, who: Principal, lead_id: UUID, *, limit: int, cursor: str | None) -> Timeline:
    """One page. What has no place of its own in time is ordered by its id; a merged lead's past comes with it.

    Raises:
        LeadNotFound, BadCursor
    """
    seen = queries.visible(who).with_only_columns(col(Lead.id)).where(col(Lead.id) == lead_id)
    if (await session.execute(seen)).first() is None:
        raise await lead_missing(session, lead_id)
    ask = Ask(who, lead_id, _position(cursor) if cursor else None, limit + 1)
    parts = [ask.newest(branch(ask)).subquery() for scope, branch in BRANCHES if who.may(scope)]
    everything = sa.union_all(*(sa.select(part) for part in parts)).subquery()
    newest = sa.select(everything).order_by(everything.c.at.desc(), everything.c.id.desc()).limit(limit + 1)
    rows = (await session.execute(newest)).all()
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = encode_cursor("timeline", last.at.isoformat(), str(last.id))
    items = [TimelineItem.model_validate(row) for row in rows[:limit]]
    return Timeline(data=items, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))


def _position(cursor: str) -> Any:
    at, row_id = decode_cursor("timeline", cursor, 2)
    try:
        moment = datetime.fromisoformat(at)
    except (TypeError, ValueError):
        raise BadCursor from None
    return sa.tuple_(sa.literal(moment, sa.DateTime(timezone=True)), sa.literal(UUID(row_id), sa.Uuid()))
