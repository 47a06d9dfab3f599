"""What a change of a sending changes besides: its message, or its code."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from contactship_common.conversations.audience import audience
from contactship_common.models import (
    Conversation,
    Delivery,
    DeliveryState,
    Interaction,
    InteractionStatus,
    Message,
    MessageStatus,
    OtpChallenge,
    OtpStatus,
    Provider,
)
from contactship_common.outbound.events import publish
from contactship_common.uow import UnitOfWork

_ARRIVED = (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ)  # the better, the later
_UNDER_WAY = (DeliveryState.PENDING, DeliveryState.SENDING)


async def take_turn(uow: UnitOfWork, delivery_id: UUID) -> bool:
    """Whoever changes the sendings of one message comes one after the other, until the transaction ends: the delivery
    is locked before its message, here and wherever else both are. False: there is no such delivery."""
    wanted = sa.select(col(Delivery.message_id)).where(col(Delivery.id) == delivery_id)
    row = (await uow.session.execute(wanted.with_for_update(key_share=True))).first()
    if row is not None and row.message_id is not None:
        message = sa.select(col(Message.id)).where(col(Message.id) == row.message_id)
        await uow.session.execute(message.with_for_update(key_share=True))
    return row is not None


async def keep_id(uow: UnitOfWork, delivery_id: UUID, provider: Provider, provider_message_id: str) -> None:
    """Note the vendor's id where there is none yet. One that something else has already is not kept: a vendor that
    does not document its answer may name anything `id`, and a message that was sent must not fail for it."""
    kept = provider_message_id[:255]
    values = {"provider": provider, "provider_message_id": kept}
    other = sa.orm.aliased(Delivery)
    taken = sa.select(sa.literal(1)).where(col(other.provider) == provider, col(other.provider_message_id) == kept)
    of_delivery = (
        sa.update(Delivery)
        .where(col(Delivery.id) == delivery_id, col(Delivery.provider_message_id).is_(None), ~taken.exists())
        .values(values)
        .execution_options(synchronize_session=False)
    )
    message = sa.orm.aliased(Message)
    known = sa.select(sa.literal(1)).where(col(message.provider) == provider, col(message.provider_message_id) == kept)
    mine = sa.select(col(Delivery.message_id)).where(
        col(Delivery.id) == delivery_id, col(Delivery.provider_message_id) == kept
    )
    of_message = (
        sa.update(Message)
        .where(col(Message.id) == mine.scalar_subquery(), col(Message.provider_message_id).is_(None), ~known.exists())
        .values(values)
        .execution_options(synchronize_session=False)
    )
    for statement in (of_delivery, of_message):
        try:
            async with uow.session.begin_nested():
                await uow.session.execute(statement)
        except IntegrityError:
            continue  # somebody took it at this very moment


async def follow(uow: UnitOfWork, delivery: Delivery) -> None:
    """Have the message or the code follow its delivery, which has changed in this transaction."""
    if delivery.message_id is not None:
        await message_follows(uow, delivery.message_id)
    if delivery.otp_challenge_id is not None:
        await _code_follows(uow, delivery)


async def message_follows(uow: UnitOfWork, message_id: UUID) -> None:
    """A message shows what its sendings amount to: the best of those that left; else that one is under way; else why
    the newest has failed. The same whatever order they were told in. The caller has taken its turn."""
    session = uow.session
    fresh = {"populate_existing": True}
    message = await session.get(Message, message_id, execution_options=fresh)
    if message is None:
        return
    statement = sa.select(Delivery).where(col(Delivery.message_id) == message_id).order_by(col(Delivery.id))
    sendings = list((await session.execute(statement, execution_options=fresh)).scalars())
    before = (message.status, message.error_code, message.error_message)
    never_left = message.sent_at is None
    _show(message, sendings)
    if before == (message.status, message.error_code, message.error_message):
        return
    message.updated_at = sa.func.clock_timestamp()  # type: ignore[assignment]
    await session.flush()
    agent = sa.select(col(Conversation.assigned_agent_id)).where(col(Conversation.id) == message.conversation_id)
    told = {
        "conversationId": str(message.conversation_id),
        "messageId": str(message.id),
        "seq": message.seq,
        "status": str(message.status),
        "errorCode": message.error_code,
        "errorMessage": message.error_message,
    }
    uow.emit("message:status", told, to=audience((await session.execute(agent)).scalar_one_or_none()))
    if message.status == MessageStatus.FAILED:
        await publish(uow, "message.failed", told)
    elif never_left and message.sent_at is not None:
        await publish(uow, "message.sent", told)


def _show(message: Message, sendings: Sequence[Delivery]) -> None:
    left = [sending for sending in sendings if sending.state in _ARRIVED]
    shown: Delivery | None = None
    if left:
        shown = max(left, key=lambda sending: _ARRIVED.index(DeliveryState(sending.state)))
        message.status = MessageStatus(shown.state)
    elif any(sending.state in _UNDER_WAY for sending in sendings):
        message.status = MessageStatus.PENDING
    elif sendings:
        shown = sendings[-1]
        message.status = MessageStatus.FAILED
    message.error_code = shown.error_code if shown else None
    message.error_message = shown.error_message if shown else None
    for sending in sendings:
        message.provider = message.provider or sending.provider
        for name in ("sent_at", "delivered_at", "read_at"):
            setattr(message, name, getattr(message, name) or getattr(sending, name))


async def _code_follows(uow: UnitOfWork, delivery: Delivery) -> None:
    """A report never touches a code that is verified, locked, expired or replaced."""
    if delivery.state == DeliveryState.UNKNOWN:
        return  # it may have arrived: the code stays good
    failed = delivery.state == DeliveryState.FAILED
    before = [OtpStatus.PENDING, OtpStatus.SENT] if failed else [OtpStatus.PENDING]
    now: Any = sa.func.clock_timestamp()
    followed = (
        sa.update(OtpChallenge)
        .where(col(OtpChallenge.id) == delivery.otp_challenge_id, col(OtpChallenge.status).in_(before))
        .values(status=OtpStatus.FAILED if failed else OtpStatus.SENT, updated_at=now)
    )
    await uow.session.execute(followed.execution_options(synchronize_session=False))
    if failed:
        ended = (
            sa.update(Interaction)
            .where(
                col(Interaction.id) == delivery.interaction_id,
                col(Interaction.status).in_([InteractionStatus.NEW, InteractionStatus.IN_PROGRESS]),
            )
            .values(status=InteractionStatus.FAILED, ended_at=now, updated_at=now)
        )
        await uow.session.execute(ended.execution_options(synchronize_session=False))
