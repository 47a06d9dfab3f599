"""Reads of conversations, each starting from what the caller may see."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.access.visibility import sees_conversation
from contactship_api.conversations.errors import ConversationNotFound, NotYourConversation
from contactship_api.conversations.schemas import AgentOut, ConversationOut, DashboardMetrics, PriorityBreakdown
from contactship_api.http.paging import decode_cursor, encode_cursor, text_matches
from contactship_api.http.problems import BadCursor
from contactship_api.http.totals import bounded
from contactship_api.leads import queries as leads
from contactship_common.conversations.shapes import MessageOut
from contactship_common.models import (
    Channel,
    Conversation,
    ConversationStatus,
    Lead,
    Message,
    Person,
    Priority,
    SenderType,
    User,
)

LARGEST_SEQ = 2**31 - 1
_last_message = sa.orm.aliased(Message)


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """What the list is narrowed to."""

    priority: Priority | None = None
    tag: str | None = None
    search: str | None = None
    unreplied: bool | None = None
    status: ConversationStatus | None = None
    channel: Channel | None = None
    assigned_agent_id: UUID | None = None


async def check_access(session: AsyncSession, who: Principal, conversation_id: UUID, *, lock: bool = False) -> Any:
    """The columns `id, lead_id, channel, status, assigned_agent_id, last_seq` of a conversation the caller may see.

    Raises:
        ConversationNotFound
        NotYourConversation
    """
    statement = sa.select(
        col(Conversation.id),
        col(Conversation.lead_id),
        col(Conversation.channel),
        col(Conversation.status),
        col(Conversation.assigned_agent_id),
        col(Conversation.last_seq),
        sees_conversation(who).label("seen"),
    ).where(col(Conversation.id) == conversation_id)
    row = (await session.execute(statement.with_for_update() if lock else statement)).first()
    if row is None:
        raise ConversationNotFound
    if not row.seen:
        raise NotYourConversation
    return row


def _shown_rows() -> sa.Select[Any]:
    return (
        sa.select(
            Lead, Person, leads.newest_task.c.task_status, leads.newest_task.c.task_error, Conversation, User,
            _last_message,
        )
        .select_from(Conversation)
        .join(Lead, col(Lead.id) == col(Conversation.lead_id))
        .join(Person, col(Person.id) == col(Lead.person_id))
        .outerjoin(User, col(User.id) == col(Conversation.assigned_agent_id))
        .outerjoin(
            _last_message,
            sa.and_(
                col(_last_message.conversation_id) == col(Conversation.id),
                col(_last_message.seq) == col(Conversation.last_seq),
            ),
        )
        .outerjoin(leads.newest_task, sa.true())
    )  # fmt: skip


def shown(row: Any) -> ConversationOut:
    lead, person, task_status, task_error, conversation, agent, last_message = row
    return ConversationOut(
        id=conversation.id,
        lead_id=conversation.lead_id,
        lead=leads.shown((lead, person, task_status, task_error)),
        channel=Channel(conversation.channel),
        status=ConversationStatus(conversation.status),
        assigned_agent_id=conversation.assigned_agent_id,
        assigned_agent=AgentOut.model_validate(agent) if agent else None,
        message_count=conversation.last_seq,
        unread_count=conversation.unread_count,
        unreplied=conversation.unreplied,
        last_message=MessageOut.model_validate(last_message) if last_message else None,
        last_message_at=conversation.last_message_at,
        last_message_sender_type=SenderType(conversation.last_message_sender_type)
        if conversation.last_message_sender_type
        else None,
        last_agent_reply_at=conversation.last_agent_reply_at,
        ai_summary=conversation.ai_summary,
        ai_priority=Priority(conversation.ai_priority) if conversation.ai_priority else None,
        ai_tags=conversation.ai_tags,
        ai_updated_at=conversation.ai_updated_at,
        created_at=conversation.created_at,
        updated_at=conversation.updated_at,
    )


async def find(session: AsyncSession, who: Principal, conversation_id: UUID) -> ConversationOut:
    """
    Raises:
        ConversationNotFound
        NotYourConversation
    """
    row = (
        await session.execute(_shown_rows().where(col(Conversation.id) == conversation_id, sees_conversation(who)))
    ).first()
    if row is not None:
        return shown(row)
    await check_access(session, who, conversation_id)
    raise ConversationNotFound


def _conditions(wanted: ConversationFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.priority is not None:
        found.append(col(Conversation.ai_priority) == wanted.priority)
    if wanted.tag is not None:
        found.append(col(Conversation.ai_tags).contains([wanted.tag]))
    if wanted.unreplied is not None:
        found.append(col(Conversation.unreplied).is_(wanted.unreplied))
    if wanted.status is not None:
        found.append(col(Conversation.status) == wanted.status)
    if wanted.channel is not None:
        found.append(col(Conversation.channel) == wanted.channel)
    if wanted.assigned_agent_id is not None:
        found.append(col(Conversation.assigned_agent_id) == wanted.assigned_agent_id)
    if wanted.search:
        written = sa.select(sa.literal(1)).where(
            col(Message.conversation_id) == col(Conversation.id),
            col(Message.content_text).icontains(wanted.search, autoescape=True),
        )
        found.append(
            sa.or_(
                text_matches(col(Lead.search_text), wanted.search),
                col(Conversation.ai_summary).icontains(wanted.search, autoescape=True),
                written.exists(),
            )
        )
    return found


async def walk(
    session: AsyncSession,
    who: Principal,
    wanted: ConversationFilter,
    *,
    limit: int,
    cursor: str | None,
    timeout_ms: int,
) -> tuple[list[ConversationOut], str | None]:
    """The newest activity first, those without messages last; and the cursor after them."""
    key = sa.tuple_(col(Conversation.activity_at), col(Conversation.id))
    chosen = sa.select(col(Conversation.id)).where(sees_conversation(who), *_conditions(wanted))
    if wanted.search:
        chosen = chosen.join(Lead, col(Lead.id) == col(Conversation.lead_id))
    if cursor:
        at, last_id = decode_cursor("conversations", cursor, 2)
        try:
            moment = sa.literal(datetime.fromisoformat(at), sa.DateTime(timezone=True))
        except (ValueError, TypeError):
            raise BadCursor from None
        chosen = chosen.where(key < sa.tuple_(moment, sa.literal(UUID(last_id), sa.Uuid())))
    chosen = chosen.order_by(col(Conversation.activity_at).desc(), col(Conversation.id).desc()).limit(limit + 1)
    async with bounded(session, searching=bool(wanted.search), timeout_ms=timeout_ms):
        # The page first, then what is shown of it: the joins touch a page of rows, whatever the plan.
        ids = chosen.subquery("page")
        statement = _shown_rows().where(col(Conversation.id).in_(sa.select(ids.c.id)))
        statement = statement.order_by(col(Conversation.activity_at).desc(), col(Conversation.id).desc())
        rows = (await session.execute(statement)).all()
    following = None
    if len(rows) > limit:
        last: Conversation = rows[limit - 1][4]
        following = encode_cursor("conversations", last.activity_at.isoformat(), str(last.id))
    return [shown(row) for row in rows[:limit]], following


async def messages(
    session: AsyncSession, conversation_id: UUID, *, limit: int, cursor: str | None, since: int | None
) -> tuple[list[MessageOut], str | None]:
    """Messages of one conversation: newest first, or those after the seq `since`, oldest first. The caller has been
    checked. The cursor goes on in the same direction.

    Raises:
        BadCursor
    """
    statement = sa.select(Message).where(col(Message.conversation_id) == conversation_id)
    name = "messages" if since is None else "messages:since"
    if cursor:
        seq, of = decode_cursor(name, cursor, 2)
        if type(seq) is not int or not 0 <= seq <= LARGEST_SEQ or of != str(conversation_id):
            raise BadCursor
        statement = statement.where(col(Message.seq) < seq if since is None else col(Message.seq) > seq)
    elif since is not None:
        statement = statement.where(col(Message.seq) > since)
    order = col(Message.seq).desc() if since is None else col(Message.seq).asc()
    rows = list((await session.execute(statement.order_by(order).limit(limit + 1))).scalars())
    following = None
    if len(rows) > limit:
        following = encode_cursor(name, rows[limit - 1].seq, str(conversation_id))
    return [MessageOut.model_validate(row) for row in rows[:limit]], following


async def metrics(session: AsyncSession, who: Principal) -> DashboardMetrics:
    """One query, so one snapshot."""

    def count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.count().filter(condition)

    priority = col(Conversation.ai_priority)
    statement = sa.select(
        sa.func.count(),
        count(col(Conversation.unreplied).is_(True)),
        count(priority == Priority.HIGH),
        count(priority == Priority.MEDIUM),
        count(priority == Priority.LOW),
        count(priority.is_(None)),
    ).select_from(Conversation).where(sees_conversation(who))  # fmt: skip
    total, unreplied, high, medium, low, unanalyzed = (await session.execute(statement)).one()
    return DashboardMetrics(
        total_conversations=total,
        total_unreplied=unreplied,
        priority_breakdown=PriorityBreakdown(high=high, medium=medium, low=low, unanalyzed=unanalyzed),
    )
