"""Opening, answering, assigning and closing conversations."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.conversations import queries
from contactship_api.conversations.errors import (
    AgentNotFound,
    ConversationClosed,
    ConversationNotFound,
    InboundOnly,
    LeadOfConversationNotFound,
)
from contactship_api.conversations.schemas import ConversationOut, ConversationUpdate, MessageCreate
from contactship_common.contact_center.interactions import complete_with_conversation
from contactship_common.conversations.audience import audience
from contactship_common.conversations.opening import open_conversation
from contactship_common.conversations.posting import NewMessage, post_at_once, post_message
from contactship_common.conversations.shapes import MessageOut
from contactship_common.errors import ConcurrentChange, Forbidden
from contactship_common.models import (
    Channel,
    Conversation,
    ConversationStatus,
    Lead,
    Message,
    MessageStatus,
    Role,
    SenderType,
    User,
)
from contactship_common.tasks.catalog import AnalyzeConversation
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork

_ROUNDS = 5


async def start(uow: UnitOfWork, who: Principal, lead_id: UUID, channel: Channel) -> tuple[ConversationOut, bool]:
    """The lead's open conversation on this channel, and whether it is new. An agent's new one is their own.

    Raises:
        LeadOfConversationNotFound
        NotYourConversation: the open one is somebody else's.
    """
    if not await _lead_stays(uow, lead_id):
        raise LeadOfConversationNotFound
    own = who.id if who.role == Role.SALES_AGENT else None
    conversation_id, is_new = await open_conversation(uow, lead_id, channel, assign_to=own)
    return await queries.find(uow.session, who, conversation_id), is_new


async def _lead_stays(uow: UnitOfWork, lead_id: UUID) -> bool:
    """Is the lead there, and kept from being deleted or merged until this transaction ends?"""
    lead = sa.select(col(Lead.id)).where(col(Lead.id) == lead_id).with_for_update(read=True, key_share=True)
    return (await uow.session.execute(lead)).first() is not None


async def change(uow: UnitOfWork, who: Principal, conversation_id: UUID, body: ConversationUpdate) -> ConversationOut:
    """Set the status. Opening beside another open one is refused by the index (`conversation_already_open`).

    Raises:
        ConversationNotFound
        NotYourConversation
    """
    before = await queries.check_access(uow.session, who, conversation_id, lock=True)
    if before.status != body.status:
        await uow.session.execute(
            sa.update(Conversation)
            .where(col(Conversation.id) == conversation_id)
            .values(status=body.status, updated_at=sa.func.clock_timestamp())
        )
        if body.status is ConversationStatus.CLOSED:
            await complete_with_conversation(uow, conversation_id)
        uow.audit("conversation.status", "conversation", conversation_id, before=before.status, after=body.status)
        uow.emit(
            "conversation:updated",
            {"conversationId": str(conversation_id), "status": str(body.status)},
            to=audience(before.assigned_agent_id),
        )
    return await queries.find(uow.session, who, conversation_id)


async def assign(uow: UnitOfWork, who: Principal, conversation_id: UUID, agent_id: UUID | None) -> ConversationOut:
    """Give the conversation to an agent, or to nobody. In force with the commit: events are addressed by this row.

    Raises:
        ConversationNotFound
        AgentNotFound
    """
    before = await queries.check_access(uow.session, who, conversation_id, lock=True)
    agent: Any = None
    if agent_id is not None:
        # Locked, so that the agent is not deactivated between this look and the commit.
        chosen = sa.select(User).where(col(User.id) == agent_id, col(User.active)).with_for_update(read=True)
        agent = (await uow.session.execute(chosen)).scalar_one_or_none()
        if agent is None:
            raise AgentNotFound
    if before.assigned_agent_id != agent_id:
        await uow.session.execute(
            sa.update(Conversation)
            .where(col(Conversation.id) == conversation_id)
            .values(assigned_agent_id=agent_id, updated_at=sa.func.clock_timestamp())
        )
        previous = before.assigned_agent_id
        uow.audit(
            "conversation.assign",
            "conversation",
            conversation_id,
            before=str(previous) if previous else None,
            after=str(agent_id) if agent_id else None,
        )
        uow.emit(
            "conversation:assigned",
            {
                "conversationId": str(conversation_id),
                "agentId": str(agent_id) if agent_id else None,
                "previousAgentId": str(previous) if previous else None,
                "assignedAgent": {"id": str(agent.id), "email": agent.email, "name": agent.name} if agent else None,
            },
            to=audience(previous, agent_id),
        )
    return await queries.find(uow.session, who, conversation_id)


async def post(uow: UnitOfWork, who: Principal, conversation_id: UUID, body: MessageCreate) -> MessageOut:
    """Add an agent's answer, or, for a machine that may, what the lead wrote. What a lead writes to a closed
    conversation starts a new one.

    Raises:
        ConversationNotFound
        NotYourConversation
        ConversationClosed
        InboundOnly, Forbidden
        NoPhoneNumber: it would be delivered, and there is no number.
        ConcurrentChange: the conversation is closed again and again, or its lead merged, at this very moment.
    """
    inbound = body.sender_type is SenderType.LEAD
    if inbound and not (who.kind == "key" and who.may(Scope.MESSAGES_INBOUND)):
        raise InboundOnly
    if not inbound and not who.may(Scope.CONVERSATIONS_WRITE):
        raise Forbidden(f"This needs the right {Scope.CONVERSATIONS_WRITE.value}")
    new = NewMessage(
        sender_type=body.sender_type,
        content_text=body.content_text,
        content_type=body.content_type,
        media_url=body.media_url,
        sender_user_id=who.id if who.kind == "user" and not inbound else None,
    )
    if inbound:
        return await _post_inbound(uow, conversation_id, new)
    # The statement that adds the message asks who may.
    only_agent = who.id if who.role == Role.SALES_AGENT else None
    if uow.is_untouched and (out := await post_at_once(uow, conversation_id, new, only_agent=only_agent)) is not None:
        return out
    posted = await post_message(uow, conversation_id, new, only_agent=only_agent)
    if posted is None:
        now = await queries.check_access(uow.session, who, conversation_id)
        raise ConversationClosed if now.status == ConversationStatus.CLOSED else ConcurrentChange
    return posted.out


async def _post_inbound(uow: UnitOfWork, conversation_id: UUID, new: NewMessage) -> MessageOut:
    wanted = sa.select(col(Conversation.lead_id), col(Conversation.channel)).where(
        col(Conversation.id) == conversation_id
    )
    for _ in range(_ROUNDS):
        found = (await uow.session.execute(wanted)).first()
        if found is None:
            raise ConversationNotFound
        posted = await post_message(uow, conversation_id, new)
        # Closed. The lead is locked, so that it is not deleted or merged away under the new conversation.
        if posted is None and await _lead_stays(uow, found.lead_id):
            current, _ = await open_conversation(uow, found.lead_id, Channel(found.channel))
            posted = await post_message(uow, current, new)
        if posted is not None:
            return posted.out
    raise ConcurrentChange


async def mark_read(uow: UnitOfWork, who: Principal, conversation_id: UUID) -> ConversationOut:
    """What the lead has written so far is read.

    Raises:
        ConversationNotFound
        NotYourConversation
    """
    before = await queries.check_access(uow.session, who, conversation_id, lock=True)
    unread = (
        sa.update(Message)
        .where(
            col(Message.conversation_id) == conversation_id,
            # Written out: a plan for any sender could not use the index of what is unread.
            col(Message.sender_type) == sa.literal_column("'LEAD'"),
            col(Message.read_at).is_(None),
        )
        .values(status=MessageStatus.READ, read_at=sa.func.clock_timestamp(), updated_at=sa.func.clock_timestamp())
        .returning(col(Message.seq))
    )
    read = list((await uow.session.execute(unread)).scalars())
    if read:
        none = sa.update(Conversation).where(col(Conversation.id) == conversation_id)
        await uow.session.execute(none.values(unread_count=0, updated_at=sa.func.clock_timestamp()))
        uow.emit(
            "message:status",
            {"conversationId": str(conversation_id), "status": MessageStatus.READ.value, "upToSeq": max(read)},
            to=audience(before.assigned_agent_id),
        )
    return await queries.find(uow.session, who, conversation_id)


async def analyse_now(uow: UnitOfWork, who: Principal, conversation_id: UUID) -> TaskRef:
    """
    Raises:
        ConversationNotFound
        NotYourConversation
    """
    await queries.check_access(uow.session, who, conversation_id)
    ref = uow.enqueue(AnalyzeConversation(conversation_id=conversation_id, force=True))
    await uow.flush()
    return ref
