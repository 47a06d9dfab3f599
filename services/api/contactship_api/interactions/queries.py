"""Reads of interactions.

Who sees what: whoever has `interactions:read` sees every interaction with its call, codes and sendings, personal data
masked. Messages, and the providers' events that repeat them, are shown of the conversations the caller may see: their
own for agents, all for administrators and keys.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.access.visibility import sees_conversation
from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.http.personal_data import PersonalData
from contactship_api.http.problems import BadCursor
from contactship_api.http.totals import bounded
from contactship_api.interactions import showing
from contactship_api.interactions.errors import InteractionNotFound
from contactship_api.interactions.schemas import InteractionDetail, InteractionOut
from contactship_api.interactions.searching import finds
from contactship_common.leads import parse_phone
from contactship_common.models import (
    CallDetail,
    Conversation,
    Delivery,
    Direction,
    Interaction,
    InteractionChannel,
    InteractionEvent,
    InteractionStatus,
    Message,
    OtpChallenge,
    Provider,
    Role,
)

MOST_EVENTS = 200
MOST_MESSAGES = 200
LARGEST_PAYLOAD_BYTES = 256 * 1024  # as stored

duration_sec = sa.func.coalesce(
    col(CallDetail.duration_sec),
    # Not `greatest` alone: it passes over NULL, and what has not ended would have taken 0 seconds.
    sa.case(
        (
            col(Interaction.ended_at).is_not(None),
            sa.cast(
                sa.func.greatest(sa.func.extract("epoch", col(Interaction.ended_at) - col(Interaction.started_at)), 0),
                sa.Integer,
            ),
        )
    ),
)
"""Of `interactions` joined with `call_details`: the call's own, else from start to end. NULL: not ended."""


@dataclass(frozen=True, slots=True)
class InteractionFilter:
    """What the list is narrowed to; `since` inclusive, `until` exclusive. Numbers as somebody wrote them."""

    channel: InteractionChannel | None = None
    direction: Direction | None = None
    status: InteractionStatus | None = None
    provider: Provider | None = None
    from_number: str | None = None
    to_number: str | None = None
    agent: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    lead_id: UUID | None = None
    search: str | None = None


def e164(written: str, region: str) -> str | None:
    """The number in E.164; `region` is for those without country code. International digits may come without `+`."""
    return parse_phone(written, region or None) or parse_phone("+" + written.lstrip(" +"))


def spellings(written: str, region: str) -> list[str]:
    """A number in E.164 where it can be understood, and as it was written: numbers are kept in either form."""
    return list(dict.fromkeys(filter(None, (e164(written, region), written.strip()))))


def shown_rows() -> sa.Select[Any]:
    rows: Any = (
        sa.select(
            Interaction,
            duration_sec.label("duration_sec"),
            col(CallDetail.summary).label("summary"),
            sa.func.coalesce(sa.func.length(col(CallDetail.transcript_text)) > 0, sa.false()).label("has_transcript"),
        )
        .select_from(Interaction)
        .outerjoin(CallDetail, col(CallDetail.interaction_id) == col(Interaction.id))
    )
    return cast("sa.Select[Any]", rows)


def _conditions(wanted: InteractionFilter, region: str, *, clear: bool) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    exact = {
        "channel": wanted.channel,
        "direction": wanted.direction,
        "status": wanted.status,
        "provider": wanted.provider,
        "lead_id": wanted.lead_id,
        "assigned_agent": wanted.agent,
    }
    for name, value in exact.items():
        if value is not None:
            found.append(col(getattr(Interaction, name)) == value)
    for column, number in ((Interaction.from_number, wanted.from_number), (Interaction.to_number, wanted.to_number)):
        if number:
            found.append(col(column).in_(spellings(number, region)))
    if wanted.since is not None:
        found.append(col(Interaction.started_at) >= wanted.since)
    if wanted.until is not None:
        found.append(col(Interaction.started_at) < wanted.until)
    if wanted.search:
        found.append(finds(wanted.search, spellings(wanted.search, region), clear=clear))
    return found


async def walk(
    session: AsyncSession,
    wanted: InteractionFilter,
    personal: PersonalData,
    *,
    region: str,
    limit: int,
    cursor: str | None,
    timeout_ms: int,
) -> tuple[list[InteractionOut], str | None]:
    """The newest `started_at` first, and the cursor after them.

    Raises:
        BadCursor, SearchTooBroad
    """
    statement = shown_rows().where(*_conditions(wanted, region, clear=personal.clear))
    if cursor:
        at, last_id = decode_cursor("interactions", cursor, 2)
        try:
            moment = sa.literal(datetime.fromisoformat(at), sa.DateTime(timezone=True))
        except (ValueError, TypeError):
            raise BadCursor from None
        key = sa.tuple_(col(Interaction.started_at), col(Interaction.id))
        statement = statement.where(key < sa.tuple_(moment, sa.literal(UUID(last_id), sa.Uuid())))
    statement = statement.order_by(col(Interaction.started_at).desc(), col(Interaction.id).desc()).limit(limit + 1)
    async with bounded(session, searching=bool(wanted.search), timeout_ms=timeout_ms):
        rows = (await session.execute(statement)).all()
    following = None
    if len(rows) > limit:
        last: Interaction = rows[limit - 1].Interaction
        following = encode_cursor("interactions", last.started_at.isoformat(), str(last.id))
    return [showing.interaction(row, personal) for row in rows[:limit]], following


async def find(
    session: AsyncSession, who: Principal, interaction_id: UUID, personal: PersonalData
) -> InteractionDetail:
    """
    Raises:
        InteractionNotFound
    """
    row = (await session.execute(shown_rows().where(col(Interaction.id) == interaction_id))).first()
    if row is None:
        raise InteractionNotFound
    withheld = not await sees_messages(session, who, row.Interaction)
    events = await _events(session, interaction_id)
    messages = await _messages(session, who, interaction_id)
    return InteractionDetail(
        **showing.interaction_fields(row, personal),
        events=[showing.event(one, personal, withheld=withheld) for one in events[:MOST_EVENTS]],
        more_events=len(events) > MOST_EVENTS,
        messages=[showing.message(one, personal) for one in reversed(messages[:MOST_MESSAGES])],
        more_messages=len(messages) > MOST_MESSAGES,
        messages_withheld=withheld,
        call_detail=showing.call_detail(await session.get(CallDetail, interaction_id), personal),
        otp_challenges=[
            showing.otp_challenge(one, personal) for one in await _of(session, OtpChallenge, interaction_id)
        ],
        deliveries=[showing.delivery(one, personal) for one in await _of(session, Delivery, interaction_id)],
    )


async def sees_messages(session: AsyncSession, who: Principal, interaction: Interaction) -> bool:
    """May the caller read its conversation? A call has none, and hides nothing. Of another one without a conversation
    nobody knows whose it was (its lead may have been deleted): agents do not see it."""
    if interaction.conversation_id is None:
        return interaction.channel == InteractionChannel.CALL or who.role != Role.SALES_AGENT
    statement = sa.select(sees_conversation(who)).where(col(Conversation.id) == interaction.conversation_id)
    return bool((await session.execute(statement)).scalar_one_or_none())


async def _events(session: AsyncSession, interaction_id: UUID) -> list[Any]:
    kept = sa.func.pg_column_size(col(InteractionEvent.raw)) <= LARGEST_PAYLOAD_BYTES
    statement = (
        sa.select(
            col(InteractionEvent.id),
            col(InteractionEvent.type),
            col(InteractionEvent.provider),
            col(InteractionEvent.provider_event_id),
            sa.case((kept, col(InteractionEvent.raw))).label("raw"),
            col(InteractionEvent.normalized),
            col(InteractionEvent.occurred_at),
            col(InteractionEvent.created_at),
        )
        .where(col(InteractionEvent.interaction_id) == interaction_id)
        .order_by(col(InteractionEvent.id))
        .limit(MOST_EVENTS + 1)
    )
    return list((await session.execute(statement)).all())


async def _messages(session: AsyncSession, who: Principal, interaction_id: UUID) -> list[Message]:
    """The newest first. A lead's merge can bring messages of one interaction into two conversations."""
    statement = (
        sa.select(Message)
        .join(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(col(Message.interaction_id) == interaction_id, sees_conversation(who))
        .order_by(col(Message.created_at).desc(), col(Message.seq).desc())
        .limit(MOST_MESSAGES + 1)
    )
    return list((await session.execute(statement)).scalars())


async def _of(session: AsyncSession, table: Any, interaction_id: UUID) -> list[Any]:
    statement = sa.select(table).where(table.interaction_id == interaction_id).order_by(table.id).limit(MOST_EVENTS)
    return list((await session.execute(statement)).scalars())
