"""Having a message delivered over WhatsApp or SMS."""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.contact_center.delivery_effects import message_follows
from contactship_common.contact_center.interactions import (
    CHANNEL_OF,
    PROVIDER_OF,
    RUNNING,
    complete_with_conversation,
    running_interaction,
)
from contactship_common.errors import NoPhoneNumber, SmsTooLong
from contactship_common.models import (
    Delivery,
    Direction,
    Interaction,
    InteractionChannel,
    Lead,
    LeadPhone,
    Message,
    Person,
)
from contactship_common.tasks.catalog import SendDelivery
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork

LONGEST_SMS = 1_600
"""Characters; Twilio refuses longer ones (its error 21617)."""


async def deliver_message(uow: UnitOfWork, message: Message, *, channel: str, lead_id: UUID) -> TaskRef:
    """Queue the sending of a message that has just been posted, to the number of the conversation's interaction, else
    to the lead's.

    Raises:
        NoPhoneNumber
        SmsTooLong
    """
    if CHANNEL_OF[channel] is InteractionChannel.SMS and len(message.content_text or "") > LONGEST_SMS:
        raise SmsTooLong
    to = await number_of(uow, message.conversation_id, lead_id)
    if to is None:
        raise NoPhoneNumber
    interaction_id = await running_interaction(
        uow,
        message.conversation_id,
        channel=CHANNEL_OF[channel],
        direction=Direction.OUTBOUND,
        provider=PROVIDER_OF[channel],
        lead_id=lead_id,
        customer_phone=to,
    )
    if message.interaction_id is None:
        message.interaction_id = interaction_id
        await uow.session.execute(
            sa.update(Message).where(col(Message.id) == message.id).values(interaction_id=interaction_id)
        )
    delivery = Delivery(
        message_id=message.id,
        interaction_id=interaction_id,
        channel=CHANNEL_OF[channel],
        to_number=to,
        requested_by=uow.context.actor,
    )
    return await queue(uow, delivery)


async def deliver_again(uow: UnitOfWork, failed: Delivery) -> tuple[Delivery, TaskRef]:
    """Queue another sending of a message whose sending has failed; the message shows that it is under way. The caller
    has taken its turn (`delivery_effects.take_turn`); the index refuses a second one at once."""
    again = Delivery(
        message_id=failed.message_id,
        interaction_id=failed.interaction_id,
        channel=failed.channel,
        to_number=failed.to_number,
        requested_by=uow.context.actor,
    )
    ref = await queue(uow, again)
    if failed.message_id is not None:
        await message_follows(uow, failed.message_id)
    return again, ref


async def queue(uow: UnitOfWork, delivery: Delivery) -> TaskRef:
    """Store the intent to send and have it done once."""
    ref = uow.enqueue(SendDelivery(delivery_id=delivery.id))
    delivery.task_id = ref.id
    uow.session.add(delivery)
    await uow.session.flush()
    return ref


async def turn_to(
    uow: UnitOfWork,
    conversation_id: UUID,
    *,
    channel: str,
    lead_id: UUID,
    number: str,
    direction: Direction = Direction.OUTBOUND,
    our_number: str | None = None,
) -> UUID:
    """From now on this conversation's messages go to `number`: a running interaction with another number of the lead
    is over. Returns the running one, which is new in this direction if there was none. The caller has locked the
    conversation."""
    running = sa.select(col(Interaction.id), col(Interaction.customer_phone)).where(
        col(Interaction.conversation_id) == conversation_id, col(Interaction.status).in_(RUNNING)
    )
    found = (await uow.session.execute(running)).first()
    if found is not None and found.customer_phone == number:
        interaction_id: UUID = found.id
        return interaction_id
    if found is not None:
        await complete_with_conversation(uow, conversation_id)
    return await running_interaction(
        uow,
        conversation_id,
        channel=CHANNEL_OF[channel],
        direction=direction,
        provider=PROVIDER_OF[channel],
        lead_id=lead_id,
        customer_phone=number,
        our_number=our_number,
    )


async def numbers_of(uow: UnitOfWork, conversation_id: UUID, lead_id: UUID) -> set[str]:
    """Every number that is known of the person behind this conversation."""
    told = sa.select(col(Interaction.customer_phone)).where(
        col(Interaction.conversation_id) == conversation_id, col(Interaction.customer_phone).is_not(None)
    )
    own = (
        sa.select(col(Person.phone_e164))
        .join(Lead, col(Lead.person_id) == col(Person.id))
        .where(col(Lead.id) == lead_id, col(Person.phone_e164).is_not(None))
    )
    answers = sa.select(col(LeadPhone.phone_e164)).where(col(LeadPhone.lead_id) == lead_id)
    return set((await uow.session.execute(sa.union(told, own, answers))).scalars())


async def number_of(uow: UnitOfWork, conversation_id: UUID, lead_id: UUID) -> str | None:
    """Where this conversation's messages go: the number the person wrote from, else the lead's own, else one that the
    lead answers."""
    last = (
        sa.select(col(Interaction.customer_phone))
        .where(col(Interaction.conversation_id) == conversation_id, col(Interaction.customer_phone).is_not(None))
        .order_by(col(Interaction.status).in_(RUNNING).desc(), col(Interaction.id).desc())
        .limit(1)
        .scalar_subquery()
    )
    own = (
        sa.select(col(Person.phone_e164))
        .join(Lead, col(Lead.person_id) == col(Person.id))
        .where(col(Lead.id) == lead_id)
        .scalar_subquery()
    )
    answers = sa.select(col(LeadPhone.phone_e164)).where(col(LeadPhone.lead_id) == lead_id).limit(1).scalar_subquery()
    number: str | None = (await uow.session.execute(sa.select(sa.func.coalesce(last, own, answers)))).scalar_one()
    return number
