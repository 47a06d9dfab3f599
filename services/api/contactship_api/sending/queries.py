"""Reads of deliveries: of messages by whoever may see the conversation, of codes by administrators."""

from typing import Any, cast
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.access.visibility import sees_conversation
from contactship_api.sending.errors import DeliveryNotFound
from contactship_api.sending.schemas import DeliveryOut, DeliveryStatus
from contactship_common.masking import mask_phone
from contactship_common.models import (
    Conversation,
    Delivery,
    DeliveryState,
    InteractionChannel,
    Message,
    Task,
    TaskStatus,
)

_ENDED_BADLY = (DeliveryState.FAILED, DeliveryState.UNKNOWN)
_other = sa.orm.aliased(Delivery)
# A newer sending of the same message, or one that turned out well after all.
_surpassed = (
    sa.select(sa.literal(1))
    .where(
        col(_other.message_id) == col(Delivery.message_id),
        col(_other.id) != col(Delivery.id),
        sa.or_(col(_other.id) > col(Delivery.id), col(_other.state).not_in(_ENDED_BADLY)),
    )
    .exists()
)
resendable = sa.and_(col(Delivery.message_id).is_not(None), col(Delivery.state).in_(_ENDED_BADLY), ~_surpassed)
"""The condition on `deliveries`: a message's newest sending, which has failed, and none of the others has not. A code
is never sent again: it may have expired; ask for a new one."""


def visible(who: Principal) -> sa.ColumnElement[bool]:
    """The condition on `deliveries` joined with `conversations`."""
    if who.may(Scope.ADMIN):
        return sa.true()
    return sa.and_(col(Conversation.id).is_not(None), sees_conversation(who))


def _shown_rows() -> sa.Select[Any]:
    statement: Any = (
        sa.select(
            Delivery,
            col(Message.conversation_id).label("conversation_id"),
            resendable.label("resendable"),
            sa.func.coalesce(
                sa.and_(col(Task.status) == TaskStatus.QUEUED, col(Task.intent_at).is_(None)), sa.false()
            ).label("waiting"),
        )
        .outerjoin(Message, col(Message.id) == col(Delivery.message_id))
        .outerjoin(Conversation, col(Conversation.id) == col(Message.conversation_id))
        .outerjoin(Task, col(Task.id) == col(Delivery.task_id))
    )
    return cast("sa.Select[Any]", statement)


async def find(session: AsyncSession, who: Principal, delivery_id: UUID) -> DeliveryOut:
    """
    Raises:
        DeliveryNotFound
    """
    row = (await session.execute(_shown_rows().where(col(Delivery.id) == delivery_id, visible(who)))).first()
    if row is None:
        raise DeliveryNotFound
    delivery: Delivery = row.Delivery
    return DeliveryOut(
        id=delivery.id,
        message_id=delivery.message_id,
        conversation_id=row.conversation_id,
        interaction_id=delivery.interaction_id,
        channel=InteractionChannel(delivery.channel),
        to=mask_phone(delivery.to_number),
        status=_status(delivery, waiting=row.waiting),
        resendable=row.resendable,
        provider=delivery.provider,
        provider_message_id=delivery.provider_message_id,
        provider_status=delivery.provider_status,
        error_code=delivery.error_code,
        error_message=delivery.error_message,
        task_id=delivery.task_id,
        sending_at=delivery.sending_at,
        sent_at=delivery.sent_at,
        delivered_at=delivery.delivered_at,
        read_at=delivery.read_at,
        failed_at=delivery.failed_at,
        created_at=delivery.created_at,
        updated_at=delivery.updated_at,
    )


def _status(delivery: Delivery, *, waiting: bool) -> DeliveryStatus:
    if delivery.state == DeliveryState.UNKNOWN:
        return "FAILED"
    if delivery.state == DeliveryState.SENDING and waiting:
        return "PENDING"  # the provider asked for time, or was away: nothing is on its way
    return cast(DeliveryStatus, str(delivery.state))
