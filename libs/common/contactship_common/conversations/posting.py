"""Adding a message: the row, the conversation's summary columns and the lead's facts in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contactship_common.contact_center import sending
from contactship_common.conversations.audience import audience
from contactship_common.conversations.shapes import MessageOut
from contactship_common.models.base import new_id
from contactship_common.models.conversation import (
    DELIVERED_CHANNELS,
    ContentType,
    Message,
    MessageStatus,
    SenderType,
)
from contactship_common.outbound.events import publish
from contactship_common.tasks.catalog import AnalyzeConversation
from contactship_common.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What is to be added. `status` None: what fits the sender and the channel. `provider` and `provider_message_id`
    name a message that came from outside."""

    sender_type: SenderType
    content_text: str | None
    content_type: ContentType = ContentType.TEXT
    media_url: str | None = None
    sender_user_id: UUID | None = None
    status: MessageStatus | None = None
    provider: str | None = None
    provider_message_id: str | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """`out` is what clients see of it, over REST and in the event."""

    message: Message
    out: MessageOut
    channel: str
    lead_id: UUID


# The conversation's row lock comes first and gives the seq: commit order is seq order. A message has one time wherever
# it stands, and times never run backwards within a conversation: a statement that waited for the lock takes the time
# of the one before it.
_STEPS = """
c AS (
    UPDATE conversations SET
           last_seq = last_seq + 1,
           last_message_at = greatest(statement_timestamp(), last_message_at),
           last_message_sender_type = %(sender_type)s::text,
           last_lead_seq = CASE WHEN %(sender_type)s::text = 'LEAD' THEN last_seq + 1 ELSE last_lead_seq END,
           last_agent_seq = CASE WHEN %(sender_type)s::text = 'AGENT' THEN last_seq + 1 ELSE last_agent_seq END,
           last_agent_reply_at = CASE WHEN %(sender_type)s::text = 'AGENT'
                                      THEN greatest(statement_timestamp(), last_message_at)
                                      ELSE last_agent_reply_at END,
           unread_count = unread_count + CASE WHEN %(sender_type)s::text = 'LEAD' THEN 1 ELSE 0 END,
           updated_at = clock_timestamp()
     WHERE id = %(conversation_id)s::uuid AND status <> 'CLOSED'
       AND (%(only_agent)s::uuid IS NULL OR assigned_agent_id = %(only_agent)s::uuid)
       AND channel <> ALL (%(not_on)s::text[])
 RETURNING id, lead_id, channel, assigned_agent_id, last_seq, last_message_at
), facts AS (
    UPDATE leads SET facts_changed_at = clock_timestamp() FROM c WHERE leads.id = c.lead_id
), m AS (
    INSERT INTO messages (id, conversation_id, interaction_id, seq, sender_type, sender_user_id, content_text,
                          content_type, media_url, status, provider, provider_message_id, sent_at, created_at,
                          updated_at)
    SELECT %(id)s::uuid, c.id,
           (SELECT id FROM interactions WHERE conversation_id = c.id AND status IN ('NEW', 'IN_PROGRESS')),
           c.last_seq, %(sender_type)s::text, %(sender_user_id)s::uuid, %(content_text)s::text,
           %(content_type)s::text, %(media_url)s::text,
           coalesce(%(status)s::text,
                    CASE WHEN %(sender_type)s::text = 'LEAD' THEN 'DELIVERED'
                         WHEN %(sender_type)s::text = 'AGENT' AND c.channel = ANY (%(delivered)s::text[])
                         THEN 'PENDING' ELSE 'SENT' END),
           %(provider)s::text, %(provider_message_id)s::text, %(sent_at)s::timestamptz, c.last_message_at,
           c.last_message_at
      FROM c
 RETURNING *
)"""
_POSTED = "SELECT m.*, c.channel, c.lead_id, c.assigned_agent_id FROM m, c"
_DELIVERED = sorted(DELIVERED_CHANNELS)
_MESSAGE_COLUMNS = tuple(column.name for column in Message.__table__.columns)  # type: ignore[attr-defined]


def _parameters(
    conversation_id: UUID, new: NewMessage, only_agent: UUID | None, not_on: Sequence[str]
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "conversation_id": conversation_id,
        "only_agent": only_agent,
        "not_on": not_on,
        "sender_type": str(new.sender_type),
        "sender_user_id": new.sender_user_id,
        "content_text": new.content_text,
        "content_type": str(new.content_type),
        "media_url": new.media_url,
        "status": str(new.status) if new.status else None,
        "provider": new.provider,
        "provider_message_id": new.provider_message_id,
        "sent_at": new.sent_at,
        "delivered": _DELIVERED,
    }


async def post_message(
    uow: UnitOfWork, conversation_id: UUID, new: NewMessage, *, only_agent: UUID | None = None
) -> Posted | None:
    """Add the message, tell those who may see it, and have the conversation analysed and the message delivered.

    Returns None if there is no such conversation, it is closed, or it is not assigned to `only_agent`, where given.

    Raises:
        NoPhoneNumber: it is to be delivered, and there is no number to deliver it to.
    """
    connection = await uow.session.connection()
    result = await connection.exec_driver_sql(
        f"WITH {_STEPS} {_POSTED}", _parameters(conversation_id, new, only_agent, [])
    )
    row = result.mappings().first()
    if row is None:
        return None
    message = Message(**{name: row[name] for name in _MESSAGE_COLUMNS})
    posted = Posted(message, MessageOut.model_validate(message), row["channel"], row["lead_id"])
    data = _tell(uow, posted.out, row["assigned_agent_id"])
    request_analysis(uow, conversation_id)
    if message.sender_type == SenderType.LEAD:
        told = {"conversationId": conversation_id, "leadId": posted.lead_id, "channel": posted.channel}
        await publish(uow, "message.received", told | {"message": data})
    if message.status == MessageStatus.PENDING and message.sender_type == SenderType.AGENT:
        await sending.deliver_message(uow, posted.message, channel=posted.channel, lead_id=posted.lead_id)
    return posted


async def post_at_once(
    uow: UnitOfWork, conversation_id: UUID, new: NewMessage, *, only_agent: UUID | None = None
) -> MessageOut | None:
    """The same in a single statement and a transaction of its own, for what an agent writes where nothing has to be
    delivered: what happens most, at a third of the price.

    Returns None, and nothing has happened, where `post_message` would return None or has more to do.
    """
    request_analysis(uow, conversation_id)
    row = await uow.write_with_tasks(_STEPS, _POSTED, _parameters(conversation_id, new, only_agent, _DELIVERED))
    if row is None:
        return None
    out = MessageOut.model_validate(row)
    _tell(uow, out, row["assigned_agent_id"])
    return out


def _tell(uow: UnitOfWork, out: MessageOut, agent_id: UUID | None) -> dict[str, Any]:
    """The message to those who may see it; returns it as they get it."""
    data = out.model_dump(mode="json", by_alias=True)
    uow.emit("message:new", {"conversationId": str(out.conversation_id), "message": data}, to=audience(agent_id))
    return data


def request_analysis(uow: UnitOfWork, conversation_id: UUID) -> None:
    """Have the conversation analysed a moment after its last message, and at the latest a while after its first."""
    settings = uow.runtime.ai
    uow.enqueue(
        AnalyzeConversation(conversation_id=conversation_id),
        delay_seconds=settings.ai_debounce_ms / 1_000,
        max_wait_seconds=settings.ai_debounce_max_wait_ms / 1_000,
    )
