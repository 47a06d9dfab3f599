"""The running interaction of a conversation."""

from collections.abc import Sequence
from datetime import UTC
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_common.errors import ConcurrentChange
from contactship_common.models import (
    CallDetail,
    Direction,
    Interaction,
    InteractionChannel,
    InteractionStatus,
    Provider,
)
from contactship_common.models.base import new_id
from contactship_common.outbound.events import publish
from contactship_common.uow import UnitOfWork

RUNNING = (InteractionStatus.NEW, InteractionStatus.IN_PROGRESS)
_IS_RUNNING = sa.and_(col(Interaction.conversation_id).is_not(None), col(Interaction.status).in_(RUNNING))
_ROUNDS = 5

CHANNEL_OF = {"whatsapp": InteractionChannel.WHATSAPP, "sms": InteractionChannel.SMS}
PROVIDER_OF = {"whatsapp": Provider.BUILDERBOT, "sms": Provider.TWILIO}
"""By the conversation's channel."""


async def running_interaction(
    uow: UnitOfWork,
    conversation_id: UUID,
    *,
    channel: InteractionChannel,
    direction: Direction,
    provider: Provider,
    lead_id: UUID,
    customer_phone: str,
    our_number: str | None = None,
) -> UUID:
    """The conversation's interaction that has not ended; a new one in this direction if there is none.

    Raises:
        ConcurrentChange: others start and end it again and again at this very moment.
    """
    inbound = direction is Direction.INBOUND
    for _ in range(_ROUNDS):
        wanted = sa.select(col(Interaction.id)).where(col(Interaction.conversation_id) == conversation_id, _IS_RUNNING)
        found = (await uow.session.execute(wanted)).scalar_one_or_none()
        if found is not None:
            return found
        row = insert(Interaction).values(
            id=new_id(),
            channel=channel,
            direction=direction,
            status=InteractionStatus.IN_PROGRESS,
            from_number=customer_phone if inbound else our_number,
            to_number=our_number if inbound else customer_phone,
            customer_phone=customer_phone,
            ai_handled=False,
            provider=provider,
            lead_id=lead_id,
            conversation_id=conversation_id,
        )
        made = await uow.session.execute(
            row.on_conflict_do_nothing(
                index_elements=["conversation_id"],
                index_where=sa.text("conversation_id IS NOT NULL AND status IN ('NEW', 'IN_PROGRESS')"),
            ).returning(col(Interaction.id))
        )
        new = made.scalar_one_or_none()
        if new is not None:
            return new
    raise ConcurrentChange


async def complete_with_conversation(uow: UnitOfWork, conversation_id: UUID) -> None:
    """A closed conversation ends its interaction."""
    ended = await uow.session.execute(
        sa.update(Interaction)
        .where(col(Interaction.conversation_id) == conversation_id, _IS_RUNNING)
        .values(
            status=InteractionStatus.COMPLETED,
            ended_at=sa.func.clock_timestamp(),
            updated_at=sa.func.clock_timestamp(),
        )
        .returning(col(Interaction.id))
    )
    await publish_completed(uow, list(ended.scalars()))


async def publish_completed(uow: UnitOfWork, interaction_ids: Sequence[UUID]) -> None:
    """Tell the receivers of `interaction.completed`; once for each, by whoever has just completed it. One that was
    abandoned or failed has ended, too, and is not told."""
    if not interaction_ids:
        return
    each = (
        sa.select(Interaction, col(CallDetail.duration_sec))
        .outerjoin(CallDetail, col(CallDetail.interaction_id) == col(Interaction.id))
        .where(col(Interaction.id).in_(interaction_ids))
        .execution_options(populate_existing=True)
    )
    for ended, duration in (await uow.session.execute(each)).all():
        await publish(
            uow,
            "interaction.completed",
            {
                "interactionId": str(ended.id),
                "channel": ended.channel,
                "direction": ended.direction,
                "status": ended.status,
                "provider": ended.provider,
                "outcome": ended.outcome,
                "leadId": str(ended.lead_id) if ended.lead_id else None,
                "conversationId": str(ended.conversation_id) if ended.conversation_id else None,
                "startedAt": ended.started_at.astimezone(UTC),
                "endedAt": ended.ended_at.astimezone(UTC) if ended.ended_at else None,
                "durationSec": duration,
            },
        )
