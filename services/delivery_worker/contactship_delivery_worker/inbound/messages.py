"""What people write to us, and what is written from our side outside this system, becomes part of a conversation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.contact_center import delivery_reports
from contactship_common.contact_center.delivery_reports import Report
from contactship_common.contact_center.events import IncomingMessage, OutgoingMessage, Text, Understood
from contactship_common.contact_center.interactions import CHANNEL_OF
from contactship_common.contact_center.phones import lock_phone
from contactship_common.conversations.posting import NewMessage, post_message
from contactship_common.conversations.posting_many import Added, FromLead, lock_open, post_from_leads
from contactship_common.errors import ConcurrentChange
from contactship_common.models import (
    Channel,
    Delivery,
    DeliveryState,
    Direction,
    InteractionEvent,
    Message,
    MessageStatus,
    Provider,
    SenderType,
)
from contactship_common.tasks.together import Member
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.inbound.entries import Entry, EventRow, handled
from contactship_delivery_worker.inbound.threads import Place, threads

ECHO_WINDOW = timedelta(minutes=10)
"""An echo of our own sending comes within this time, or is somebody's own message."""


async def apply_incoming(
    uow: UnitOfWork, entry: Entry, understood: Understood, event: IncomingMessage
) -> dict[str, Any]:
    """Append it to the open conversation of the lead with this number."""
    place = place_of(entry, event.said, Direction.INBOUND, name=event.name, our_number=event.our_number)
    return await _append(uow, entry, understood, event.said, place)


async def apply_outgoing(
    uow: UnitOfWork, entry: Entry, understood: Understood, event: OutgoingMessage
) -> dict[str, Any]:
    """Our own sending has arrived at the provider; or somebody wrote on the phone: then it is appended, and not sent
    again."""
    # Two equal echoes at the same moment are about two sendings: one after the other.
    await lock_phone(uow, event.said.phone_e164)
    delivery = await _sending_of(uow, entry, event.said)
    if delivery is None:
        return await _append(uow, entry, understood, event.said, place_of(entry, event.said, Direction.OUTBOUND))
    await delivery_reports.apply(uow, delivery.id, Report("sent", entry.told_by, event.said.message_id))
    row = None
    if delivery.interaction_id is not None:
        row = _row(delivery.interaction_id, entry, understood, event.said)
        row.normalized["deliveryId"] = str(delivery.id)
    await handled(uow, entry, row)
    return {"deliveryId": str(delivery.id), "echo": True}


def place_of(
    entry: Entry, said: Text, direction: Direction, *, name: str | None = None, our_number: str | None = None
) -> Place:
    channel = Channel.SMS if entry.told_by is Provider.TWILIO else Channel.WHATSAPP
    return Place(said.phone_e164, channel, direction, name, our_number)


@dataclass(frozen=True, slots=True)
class NewText:
    """A message from a person that is handled together with others."""

    member: Member
    entry: Entry
    understood: Understood
    event: IncomingMessage
    place: Place


def event_row(interaction_id: UUID, text: NewText) -> EventRow:
    return _row(interaction_id, text.entry, text.understood, text.event.said)


async def without_known(uow: UnitOfWork, texts: Sequence[NewText]) -> list[NewText]:
    """Without those that are messages of ours already. Their numbers are locked."""
    told = [(str(text.entry.told_by), text.event.said.message_id) for text in texts if text.event.said.message_id]
    if not told:
        return list(texts)
    asked = {"providers": [provider for provider, _ in told], "ids": [message_id for _, message_id in told]}
    rows = await (await uow.session.connection()).exec_driver_sql(_KNOWN_OF, asked)
    known = {tuple(row) for row in rows}
    return [text for text in texts if (str(text.entry.told_by), text.event.said.message_id) not in known]


async def append_all(uow: UnitOfWork, placed: Sequence[tuple[NewText, UUID]]) -> list[tuple[NewText, Added]]:
    """Append each to its conversation, in the order in which they came; without those whose conversation is closed."""
    if not placed:
        return []
    still_open = await lock_open(uow, [conversation_id for _, conversation_id in placed])
    new = [(text, conversation_id) for text, conversation_id in placed if conversation_id in still_open]
    new.sort(key=lambda one: one[0].entry.id)
    added = await post_from_leads(
        uow, [FromLead(conversation_id, _columns(text), text.member.context) for text, conversation_id in new]
    )
    return [(text, row) for (text, _), row in zip(new, added, strict=True)]


def _columns(text: NewText) -> dict[str, Any]:
    said = text.event.said
    return {
        "content_text": said.text,
        "content_type": str(said.content_type),
        "media_url": said.media_url,
        "provider": str(text.entry.told_by),
        "provider_message_id": said.message_id,
        "sent_at": said.sent_at.isoformat() if said.sent_at else None,
    }


def _row(interaction_id: UUID, entry: Entry, understood: Understood, said: Text) -> EventRow:
    normalized = {
        "phone": said.phone_e164,
        "text": said.text,
        "contentType": str(said.content_type),
        "mediaUrl": said.media_url,
        "sentAt": said.sent_at.isoformat() if said.sent_at else None,
    }
    kind = getattr(understood.event, "type", entry.kind)
    return EventRow(interaction_id, kind, said.message_id, understood.raw, normalized, said.sent_at)


async def _append(uow: UnitOfWork, entry: Entry, understood: Understood, said: Text, place: Place) -> dict[str, Any]:
    theirs = place.direction is Direction.INBOUND
    new = NewMessage(
        SenderType.LEAD if theirs else SenderType.AGENT,
        said.text,
        said.content_type,
        said.media_url,
        status=None if theirs else MessageStatus.SENT,
        provider=entry.told_by,
        provider_message_id=said.message_id,
        sent_at=said.sent_at,
    )
    async for thread in threads(uow, place):
        known = await _known(uow, entry.told_by, said.message_id)
        if known is not None:
            await handled(uow, entry)
            return {"messageId": str(known), "duplicate": True}
        posted = await post_message(uow, thread.conversation_id, new)
        if posted is not None:
            await handled(uow, entry, _row(thread.interaction_id, entry, understood, said))
            return {
                "messageId": str(posted.message.id),
                "conversationId": str(thread.conversation_id),
                "leadId": str(thread.lead_id),
            }
    raise ConcurrentChange


_KNOWN_OF = """
SELECT messages.provider, messages.provider_message_id FROM messages
  JOIN unnest(%(providers)s::text[], %(ids)s::text[]) AS told(provider, id)
    ON messages.provider = told.provider AND messages.provider_message_id = told.id
"""
_KNOWN = sa.text("SELECT id FROM messages WHERE provider = :provider AND provider_message_id = :message_id")


async def _known(uow: UnitOfWork, provider: Provider, message_id: str | None) -> UUID | None:
    """Nobody adds the same message meanwhile: its number is locked."""
    if message_id is None:
        return None
    asked = {"provider": str(provider), "message_id": message_id}
    found: UUID | None = (await uow.session.execute(_KNOWN, asked)).scalar_one_or_none()
    return found


async def _sending_of(uow: UnitOfWork, entry: Entry, said: Text) -> Delivery | None:
    """The delivery that this is the echo of: by the provider's id, else the oldest that nothing has echoed yet, to the
    same number and with the same text."""
    if said.message_id is not None:
        by_id = sa.select(Delivery).where(
            col(Delivery.provider) == entry.told_by, col(Delivery.provider_message_id) == said.message_id
        )
        found = (await uow.session.execute(by_id)).scalar_one_or_none()
        if found is not None:
            return found
    same_text = sa.func.btrim(sa.func.coalesce(col(Message.content_text), ""), " \t\r\n") == (said.text or "")
    candidates = (
        sa.select(Delivery)
        .join(Message, col(Message.id) == col(Delivery.message_id))
        .where(
            col(Delivery.to_number) == said.phone_e164,
            col(Delivery.channel) == CHANNEL_OF[Channel.WHATSAPP],
            col(Delivery.state).in_([DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.UNKNOWN]),
            col(Delivery.sending_at).between(entry.received_at - ECHO_WINDOW, entry.received_at + ECHO_WINDOW),
            same_text,
            ~_echoed(),
        )
        .order_by(col(Delivery.id))
        .limit(1)
        .with_for_update(of=Delivery)
    )
    return (await uow.session.execute(candidates)).scalar_one_or_none()


def _echoed() -> sa.ColumnElement[bool]:
    """An echo has settled it before: two equal messages have two echoes."""
    return (
        sa.select(sa.literal(1))
        .where(
            col(InteractionEvent.interaction_id) == col(Delivery.interaction_id),
            col(InteractionEvent.normalized)["deliveryId"].astext == sa.cast(col(Delivery.id), sa.Text),
        )
        .exists()
    )
