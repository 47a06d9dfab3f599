"""What becomes of a sending: the vendor's answer, its reports, or its silence. Reports only ever raise a delivery, in
whatever order they come; first times are kept."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
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

RANKS = {
    "accepted": 1, "scheduled": 1, "queued": 2, "sending": 3, "sent": 4,
    "delivered": 5, "undelivered": 5, "failed": 5, "canceled": 5, "read": 6,
}  # fmt: skip
"""Twilio's words, which the other providers' are translated to; a report counts if its rank is higher."""

_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "undelivered": DeliveryState.FAILED,
    "failed": DeliveryState.FAILED,
    "canceled": DeliveryState.FAILED,
}
_MESSAGE_ORDER = (MessageStatus.PENDING, MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.READ)


@dataclass(frozen=True, slots=True)
class Report:
    """One word of a vendor about one sending."""

    status: str
    provider: Provider
    provider_message_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


async def apply(uow: UnitOfWork, delivery_id: UUID, report: Report) -> bool:
    """Raise the delivery, and with it its message or code. False: nothing new (an old or repeated report), or no such
    delivery."""
    rank = RANKS.get(report.status)
    if rank is None:
        return False
    state = _STATES.get(report.status, DeliveryState.SENT)
    now: Any = sa.func.clock_timestamp()
    values: dict[str, Any] = {
        "provider": report.provider,
        "provider_message_id": sa.func.coalesce(col(Delivery.provider_message_id), report.provider_message_id),
        "provider_status": report.status,
        "provider_rank": rank,
        "state": state,
        "updated_at": now,
        "error_code": report.error_code if state is DeliveryState.FAILED else None,
        "error_message": report.error_message if state is DeliveryState.FAILED else None,
    }
    if state is DeliveryState.FAILED:
        values["failed_at"] = sa.func.coalesce(col(Delivery.failed_at), now)
    else:
        values["sent_at"] = sa.func.coalesce(col(Delivery.sent_at), now)
    if state in (DeliveryState.DELIVERED, DeliveryState.READ):
        values["delivered_at"] = sa.func.coalesce(col(Delivery.delivered_at), now)
    if state is DeliveryState.READ:
        values["read_at"] = sa.func.coalesce(col(Delivery.read_at), now)
    raised = (
        sa.update(Delivery)
        .where(col(Delivery.id) == delivery_id, col(Delivery.provider_rank) < rank)
        .values(values)
        .returning(Delivery)
        .execution_options(populate_existing=True)
    )
    delivery = (await uow.session.execute(raised)).scalar_one_or_none()
    if delivery is None:
        return False
    await _follow(uow, delivery)
    return True


async def settle_unknown(uow: UnitOfWork, delivery_id: UUID) -> bool:
    """Nobody knows whether it was sent: it shows as FAILED `unknown` and can be sent again by hand. A report that
    comes later still counts. False: it is known by now."""
    unknown = (
        sa.update(Delivery)
        .where(col(Delivery.id) == delivery_id, col(Delivery.provider_rank) == 0)
        .where(col(Delivery.state).in_([DeliveryState.PENDING, DeliveryState.SENDING]))
        .values(
            state=DeliveryState.UNKNOWN,
            error_code="unknown",
            error_message="The provider's answer was lost; it may have been sent",
            failed_at=sa.func.coalesce(col(Delivery.failed_at), sa.func.clock_timestamp()),
            updated_at=sa.func.clock_timestamp(),
        )
        .returning(Delivery)
        .execution_options(populate_existing=True)
    )
    return await _follow_if(uow, unknown)


async def fail(uow: UnitOfWork, delivery_id: UUID, code: str, message: str) -> bool:
    """It was not sent, for good. False: a report says otherwise."""
    failed = (
        sa.update(Delivery)
        .where(col(Delivery.id) == delivery_id, col(Delivery.provider_rank) == 0)
        .values(
            state=DeliveryState.FAILED,
            error_code=code[:64],
            error_message=message[:500],
            failed_at=sa.func.coalesce(col(Delivery.failed_at), sa.func.clock_timestamp()),
            updated_at=sa.func.clock_timestamp(),
        )
        .returning(Delivery)
        .execution_options(populate_existing=True)
    )
    return await _follow_if(uow, failed)


async def _follow_if(uow: UnitOfWork, statement: Any) -> bool:
    delivery = (await uow.session.execute(statement)).scalar_one_or_none()
    if delivery is None:
        return False
    await _follow(uow, delivery)
    return True


async def _follow(uow: UnitOfWork, delivery: Delivery) -> None:
    if delivery.message_id is not None:
        await _message_follows(uow, delivery)
    if delivery.otp_challenge_id is not None:
        await _code_follows(uow, delivery)


def _message_status(delivery: Delivery) -> MessageStatus:
    if delivery.state in (DeliveryState.FAILED, DeliveryState.UNKNOWN):
        return MessageStatus.FAILED
    return MessageStatus(delivery.state)


async def _message_follows(uow: UnitOfWork, delivery: Delivery) -> None:
    """The message shows its best sending; a failure only if its newest sending has failed."""
    status = _message_status(delivery)
    statement = sa.update(Message).where(col(Message.id) == delivery.message_id)
    if status is MessageStatus.FAILED:
        newer = sa.select(sa.literal(1)).where(
            col(Delivery.message_id) == delivery.message_id, col(Delivery.id) > delivery.id
        )
        statement = statement.where(
            col(Message.status).in_([MessageStatus.PENDING, MessageStatus.SENT]), ~newer.exists()
        )
    else:
        lower = _MESSAGE_ORDER[: _MESSAGE_ORDER.index(status)]
        statement = statement.where(col(Message.status).in_([*lower, MessageStatus.FAILED]))
    values = {
        "status": status,
        "error_code": delivery.error_code,
        "error_message": delivery.error_message,
        "provider": delivery.provider,
        "provider_message_id": sa.func.coalesce(col(Message.provider_message_id), delivery.provider_message_id),
        "sent_at": sa.func.coalesce(col(Message.sent_at), delivery.sent_at),
        "delivered_at": sa.func.coalesce(col(Message.delivered_at), delivery.delivered_at),
        "read_at": sa.func.coalesce(col(Message.read_at), delivery.read_at),
        "updated_at": sa.func.clock_timestamp(),
    }
    changed = statement.values(values).returning(Message).execution_options(populate_existing=True)
    message = (await uow.session.execute(changed)).scalar_one_or_none()
    if message is None:
        return
    agent = sa.select(col(Conversation.assigned_agent_id)).where(col(Conversation.id) == message.conversation_id)
    told = {
        "conversationId": str(message.conversation_id),
        "messageId": str(message.id),
        "seq": message.seq,
        "status": message.status,
        "errorCode": message.error_code,
        "errorMessage": message.error_message,
    }
    uow.emit("message:status", told, to=audience((await uow.session.execute(agent)).scalar_one_or_none()))
    if status in (MessageStatus.SENT, MessageStatus.FAILED):
        await publish(uow, "message.sent" if status is MessageStatus.SENT else "message.failed", told)


async def _code_follows(uow: UnitOfWork, delivery: Delivery) -> None:
    """A report never touches a code that is verified, locked, expired or replaced."""
    if delivery.state == DeliveryState.UNKNOWN:
        return  # it may have arrived: the code stays good
    failed = delivery.state == DeliveryState.FAILED
    before = [OtpStatus.PENDING, OtpStatus.SENT] if failed else [OtpStatus.PENDING]
    await uow.session.execute(
        sa.update(OtpChallenge)
        .where(col(OtpChallenge.id) == delivery.otp_challenge_id, col(OtpChallenge.status).in_(before))
        .values(status=OtpStatus.FAILED if failed else OtpStatus.SENT, updated_at=sa.func.clock_timestamp())
    )
    if failed:
        await uow.session.execute(
            sa.update(Interaction)
            .where(
                col(Interaction.id) == delivery.interaction_id,
                col(Interaction.status).in_([InteractionStatus.NEW, InteractionStatus.IN_PROGRESS]),
            )
            .values(
                status=InteractionStatus.FAILED,
                ended_at=sa.func.clock_timestamp(),
                updated_at=sa.func.clock_timestamp(),
            )
        )
