"""What happens to conversations when their leads are merged or deleted."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.contact_center.interactions import publish_completed
from contactship_common.conversations.audience import audience
from contactship_common.conversations.posting import request_analysis
from contactship_common.errors import ConcurrentChange
from contactship_common.models import Conversation, Delivery, DeliveryState, Message
from contactship_common.tasks import store
from contactship_common.uow import UnitOfWork

T = TypeVar("T")

_ROUNDS = 5

_PAIRS = sa.text("""
SELECT s.id AS source, s.assigned_agent_id AS source_agent, s.last_seq AS messages,
       t.id AS target, t.assigned_agent_id AS target_agent
  FROM conversations s
  JOIN conversations t ON t.channel = s.channel AND t.status <> 'CLOSED' AND t.lead_id = :target
 WHERE s.lead_id = :source AND s.status <> 'CLOSED'
""")

# Joined messages are in the order in which they were stored, or a customer who still waits could count as answered.
# In two steps, below zero first: a number that another message still has would be refused.
_MOVE = """
UPDATE messages SET conversation_id = :target, seq = -place
  FROM (SELECT id, row_number() OVER (ORDER BY created_at, conversation_id <> :target, seq) AS place
          FROM messages WHERE conversation_id IN (:source, :target)) AS ordered
 WHERE messages.id = ordered.id
"""
_NUMBER = """
UPDATE messages SET seq = -seq WHERE conversation_id = :target
"""

_JOIN = """
UPDATE conversations t SET
       last_seq = told.n, last_lead_seq = told.lead, last_agent_seq = told.agent,
       last_message_at = greatest(t.last_message_at, s.last_message_at),
       last_message_sender_type = told.sender_type,
       last_agent_reply_at = greatest(t.last_agent_reply_at, s.last_agent_reply_at),
       unread_count = t.unread_count + s.unread_count,
       assigned_agent_id = coalesce(t.assigned_agent_id, s.assigned_agent_id),
       updated_at = clock_timestamp()
  FROM conversations s,
       (SELECT count(*)::int AS n,
               coalesce(max(seq) FILTER (WHERE sender_type = 'LEAD'), 0) AS lead,
               coalesce(max(seq) FILTER (WHERE sender_type = 'AGENT'), 0) AS agent,
               (array_agg(sender_type ORDER BY seq DESC))[1] AS sender_type
          FROM messages WHERE conversation_id = :target) AS told
 WHERE t.id = :target AND s.id = :source
"""

# A conversation has one running interaction: beside the target's, the source's has ended.
_INTERACTIONS = """
UPDATE interactions SET conversation_id = :target,
       status = CASE WHEN over THEN 'COMPLETED' ELSE status END,
       ended_at = CASE WHEN over THEN clock_timestamp() ELSE ended_at END,
       updated_at = clock_timestamp()
  FROM (SELECT i.id, i.status IN ('NEW', 'IN_PROGRESS') AND EXISTS (
                   SELECT 1 FROM interactions t
                    WHERE t.conversation_id = :target AND t.status IN ('NEW', 'IN_PROGRESS')) AS over
          FROM interactions i WHERE i.conversation_id = :source) AS mine
 WHERE interactions.id = mine.id
RETURNING interactions.id, mine.over
"""


async def lock_with_conversations(
    session: AsyncSession, lead_ids: Sequence[UUID], lock_leads: Callable[[], Awaitable[T]]
) -> tuple[T, list[UUID]]:
    """Lock these leads' conversations and then, with `lock_leads`, the leads: the order in which posting locks them.

    Returns what `lock_leads` returned, and the ids of the conversations.

    Raises:
        ConcurrentChange: conversations are started again and again at this very moment.
    """
    of_them = sa.select(col(Conversation.id)).where(col(Conversation.lead_id).in_(lead_ids))
    for _ in range(_ROUNDS):
        attempt = await session.begin_nested()
        ordered = of_them.order_by(col(Conversation.id)).with_for_update()
        locked = list((await session.execute(ordered)).scalars())
        leads = await lock_leads()
        # With the leads locked nobody starts another one; one that was started just before is locked in another round,
        # without waiting for it while holding the lead that its poster wants.
        if set((await session.execute(of_them)).scalars()) <= set(locked):
            await attempt.commit()
            return leads, locked
        await attempt.rollback()
    raise ConcurrentChange


async def cancel_tasks_of(uow: UnitOfWork, conversation_ids: Sequence[UUID]) -> None:
    """Cancel what is still queued about these conversations and their messages."""
    unsent = (
        sa.select(col(Delivery.id))
        .join(Message, col(Message.id) == col(Delivery.message_id))
        .where(col(Message.conversation_id).in_(conversation_ids), col(Delivery.state) == DeliveryState.PENDING)
    )
    deliveries = list((await uow.session.execute(unsent)).scalars()) if conversation_ids else []
    for subject_id in (*conversation_ids, *deliveries):
        uow.task_ended(*await store.cancel_of_subject(uow.session, subject_id))


async def move_conversations(uow: UnitOfWork, source_id: UUID, target_id: UUID) -> None:
    """Give the source lead's conversations, locked, to the target. Where both have an open one on a channel, the
    source's messages are put among the target's by their times, and the emptied conversation goes. Numbers change: who
    follows the target by `since` reads it again on `conversation:updated` with `mergedInto`."""
    session = uow.session
    pairs = (await session.execute(_PAIRS, {"source": source_id, "target": target_id})).mappings().all()
    for pair in pairs:
        both = {"source": pair["source"], "target": pair["target"]}
        for statement in (_MOVE, _NUMBER, _JOIN):
            await session.execute(sa.text(statement), both)
        moved = (await session.execute(sa.text(_INTERACTIONS), both)).all()
        await publish_completed(uow, [row.id for row in moved if row.over])
        uow.task_ended(*await store.cancel_of_subject(session, pair["source"]))
        await session.execute(sa.delete(Conversation).where(col(Conversation.id) == pair["source"]))
        if pair["messages"]:
            request_analysis(uow, pair["target"])
        _tell(uow, pair)
    rest = sa.update(Conversation).where(col(Conversation.lead_id) == source_id)
    await session.execute(rest.values(lead_id=target_id, updated_at=sa.func.clock_timestamp()))


def _tell(uow: UnitOfWork, pair: Any) -> None:
    uow.audit("conversation.join", "conversation", pair["target"], source=str(pair["source"]))
    uow.emit(
        "conversation:updated",
        {"conversationId": str(pair["source"]), "mergedInto": str(pair["target"])},
        to=audience(pair["source_agent"], pair["target_agent"]),
    )
