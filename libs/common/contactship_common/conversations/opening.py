"""Finding a lead's open conversation on a channel, or starting one. The index decides every race."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_common.errors import ConcurrentChange
from contactship_common.models import User
from contactship_common.models.base import new_id
from contactship_common.models.conversation import Channel, Conversation, ConversationStatus
from contactship_common.models.lead import Lead
from contactship_common.uow import UnitOfWork

_ROUNDS = 5
_IS_OPEN = col(Conversation.status).in_([ConversationStatus.OPEN, ConversationStatus.PENDING])
# Spelled out: with parameters, a plan that PostgreSQL keeps for all values does not find the index (42P10).
_INDEX_WHERE = sa.text("status IN ('OPEN', 'PENDING')")


async def open_conversation(
    uow: UnitOfWork, lead_id: UUID, channel: Channel, *, assign_to: UUID | None = None
) -> tuple[UUID, bool]:
    """The open conversation's id, and whether it was started now: assigned to `assign_to`, else to the lead's owner
    if that is an active user.

    Raises:
        ConcurrentChange: others open and close it again and again at this very moment.
    """
    owner = (
        sa.select(col(User.id))
        .join(Lead, col(Lead.owner_id) == col(User.id))
        .where(col(Lead.id) == lead_id, col(User.active))
        .scalar_subquery()
    )
    for _ in range(_ROUNDS):
        wanted = sa.select(col(Conversation.id)).where(
            col(Conversation.lead_id) == lead_id, col(Conversation.channel) == channel, _IS_OPEN
        )
        found = (await uow.session.execute(wanted)).scalar_one_or_none()
        if found is not None:
            return found, False
        made = await uow.session.execute(
            insert(Conversation)
            .values(
                id=new_id(),
                lead_id=lead_id,
                channel=channel,
                status=ConversationStatus.OPEN,
                assigned_agent_id=assign_to if assign_to is not None else owner,
                last_seq=0,
                last_lead_seq=0,
                last_agent_seq=0,
                unread_count=0,
                analysed_up_to=0,
                ai_tags=[],
            )
            .on_conflict_do_nothing(index_elements=["lead_id", "channel"], index_where=_INDEX_WHERE)
            .returning(col(Conversation.id))
        )
        new = made.scalar_one_or_none()
        if new is not None:
            uow.audit("conversation.open", "conversation", new, channel=str(channel))
            return new, True
    raise ConcurrentChange
