"""Sending to a number, and sending again."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.conversations.errors import ConversationClosed
from contactship_api.conversations.queries import check_access
from contactship_api.sending import queries
from contactship_api.sending.errors import ConversationDoesNotFit, DeliveryNotFound, PhoneInvalid
from contactship_api.sending.schemas import SendAccepted
from contactship_common.contact_center import sending
from contactship_common.contact_center.delivery_effects import take_turn
from contactship_common.contact_center.phones import lead_of_phone
from contactship_common.conversations.opening import open_conversation
from contactship_common.conversations.posting import NewMessage, post_message
from contactship_common.errors import ConcurrentChange, DeliveryNotResendable
from contactship_common.leads import parse_phone
from contactship_common.models import Channel, ContentType, Conversation, Delivery, Message, Role, SenderType
from contactship_common.settings import ContactCenterSettings
from contactship_common.uow import UnitOfWork

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be sent over `channel`. `conversation_id` None: the open conversation with this number."""

    channel: Channel
    to: str
    text: str
    media_url: str | None = None
    conversation_id: UUID | None = None


async def send(uow: UnitOfWork, who: Principal, settings: ContactCenterSettings, letter: Letter) -> SendAccepted:
    """Post the message in the conversation with this number, from where it is delivered.

    Raises:
        PhoneInvalid
        ConversationNotFound, NotYourConversation
        ConversationDoesNotFit
        ConversationClosed: the one that was named.
        ConcurrentChange: conversations are opened and closed again and again at this very moment.
    """
    number = parse_phone(letter.to, settings.default_region or None)
    if number is None:
        raise PhoneInvalid
    for _ in range(_ROUNDS):
        if letter.conversation_id is not None:
            conversation_id = letter.conversation_id
        else:
            own = who.id if who.role == Role.SALES_AGENT else None
            lead_id = await lead_of_phone(uow, number)
            conversation_id, _is_new = await open_conversation(uow, lead_id, letter.channel, assign_to=own)
        # Locked: nobody else turns it to another number, assigns or closes it before the message is in.
        seen = await check_access(uow.session, who, conversation_id, lock=True)
        if letter.conversation_id is not None:
            fits = seen.channel == letter.channel
            if not fits or number not in await sending.numbers_of(uow, conversation_id, seen.lead_id):
                raise ConversationDoesNotFit
        await sending.turn_to(uow, conversation_id, channel=letter.channel, lead_id=seen.lead_id, number=number)
        posted = await post_message(uow, conversation_id, _message(who, letter))
        if posted is not None:
            return await _accepted(uow, posted.message)
        if letter.conversation_id is not None:
            raise ConversationClosed
    raise ConcurrentChange


def _message(who: Principal, letter: Letter) -> NewMessage:
    return NewMessage(
        sender_type=SenderType.AGENT,
        content_text=letter.text,
        content_type=ContentType.TEXT if letter.media_url is None else _type_of(letter.media_url),
        media_url=letter.media_url,
        sender_user_id=who.id if who.kind == "user" else None,
    )


_TYPES = {
    ContentType.IMAGE: (".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic"),
    ContentType.AUDIO: (".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wav", ".amr"),
    ContentType.VIDEO: (".mp4", ".3gp", ".mov", ".webm"),
}


def _type_of(url: str) -> ContentType:
    path = url.partition("?")[0].partition("#")[0].lower()
    return next((kind for kind, endings in _TYPES.items() if path.endswith(endings)), ContentType.FILE)


async def _accepted(uow: UnitOfWork, message: Message) -> SendAccepted:
    wanted = sa.select(Delivery).where(col(Delivery.message_id) == message.id).order_by(col(Delivery.id).desc())
    delivery = (await uow.session.execute(wanted.limit(1))).scalar_one()
    uow.audit("delivery.send", "delivery", delivery.id, channel=delivery.channel)
    return _told(delivery, message.conversation_id)


def _told(delivery: Delivery, conversation_id: UUID) -> SendAccepted:
    if delivery.task_id is None or delivery.message_id is None:
        raise RuntimeError("a queued message has a task and a message")
    return SendAccepted(
        task_id=delivery.task_id,
        delivery_id=delivery.id,
        message_id=delivery.message_id,
        conversation_id=conversation_id,
        interaction_id=delivery.interaction_id,
    )


async def resend(uow: UnitOfWork, who: Principal, delivery_id: UUID) -> SendAccepted:
    """Send a message again whose sending has failed or whose answer was lost.

    Raises:
        DeliveryNotFound
        DeliveryNotResendable: it is a code's, has not failed, or is not the message's newest.
    """
    if not await take_turn(uow, delivery_id):
        raise DeliveryNotFound
    statement = (
        sa.select(Delivery, col(Message.conversation_id), queries.resendable.label("resendable"))
        .outerjoin(Message, col(Message.id) == col(Delivery.message_id))
        .outerjoin(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .where(col(Delivery.id) == delivery_id, queries.visible(who))
    )
    row = (await uow.session.execute(statement)).first()
    if row is None:
        raise DeliveryNotFound
    if not row.resendable:
        raise DeliveryNotResendable
    again, _ref = await sending.deliver_again(uow, row.Delivery)
    uow.audit("delivery.resend", "delivery", again.id, before=str(delivery_id), channel=again.channel)
    return _told(again, row.conversation_id)
