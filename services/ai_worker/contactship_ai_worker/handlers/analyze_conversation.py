"""Finds a conversation's summary, priority and tags."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_ai_worker.conversation_analysis import (
    MESSAGES_AT_MOST,
    PROMPT_NAME,
    ConversationAnalysisOutput,
    ConversationFacts,
    Line,
    told,
)
from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.prompts import load_prompt
from contactship_ai_worker.run import Answer
from contactship_common.conversations.audience import audience
from contactship_common.conversations.shapes import AIData
from contactship_common.models import Conversation, Lead, Message, Person
from contactship_common.outbound.events import publish
from contactship_common.settings import AISettings
from contactship_common.tasks.catalog import AnalyzeConversation
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Skip
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the model is asked about, and up to which message that was read."""

    facts: ConversationFacts
    up_to: int
    task: ClaimedTask


class ConversationAnalyst(Handler[AnalyzeConversation, Loaded, Answer[ConversationAnalysisOutput]]):
    def __init__(self, engine: AIEngine, settings: AISettings) -> None:
        self._engine = engine
        self._prompt = load_prompt(PROMPT_NAME, settings.ai_language)

    async def load(
        self, session: AsyncSession, payload: AnalyzeConversation, task: ClaimedTask
    ) -> Loaded | Done | Skip:
        statement = (
            sa.select(Conversation, col(Person.first_name), col(Person.last_name))
            .join(Lead, col(Lead.id) == col(Conversation.lead_id))
            .join(Person, col(Person.id) == col(Lead.person_id))
            .where(col(Conversation.id) == payload.conversation_id)
        )
        row = (await session.execute(statement)).first()
        if row is None:
            return Skip("the conversation has been deleted")
        conversation, first, last = row
        if not payload.force and conversation.analysed_up_to >= conversation.last_seq:
            return Done({"cached": True})
        latest = (
            sa.select(Message)
            .where(col(Message.conversation_id) == conversation.id, col(Message.seq) <= conversation.last_seq)
            .order_by(col(Message.seq).desc())
            .limit(MESSAGES_AT_MOST)
        )
        messages = list((await session.execute(latest)).scalars())[::-1]
        if not messages:
            return Done({"cached": False, "stored": False})
        facts = ConversationFacts(
            channel=conversation.channel,
            lead_name=f"{first} {last}".strip(),
            messages=[
                Line(sender=message.sender_type.lower(), text=told(message.content_type, message.content_text))
                for message in messages
            ],
        )
        return Loaded(facts, messages[-1].seq, task)

    async def work(self, payload: AnalyzeConversation, loaded: Loaded) -> Answer[ConversationAnalysisOutput]:
        return await self._engine.ask(
            self._prompt,
            loaded.facts,
            ConversationAnalysisOutput,
            kind=AnalyzeConversation.KIND,
            task_id=loaded.task.id,
        )

    async def record(
        self,
        uow: UnitOfWork,
        payload: AnalyzeConversation,
        task: ClaimedTask,
        loaded: Loaded,
        result: Answer[ConversationAnalysisOutput],
    ) -> dict[str, Any]:
        # Two runs may overlap: whoever has read further wins, whichever ends first. Of two that read the same (a lost
        # run's second try beside the task of a later message) the first one stands, unless somebody insists.
        known = col(Conversation.analysed_up_to)
        news = known <= loaded.up_to if payload.force else known < loaded.up_to
        statement = (
            sa.update(Conversation)
            .where(col(Conversation.id) == payload.conversation_id, news)
            .values(
                ai_summary=result.value.summary,
                ai_priority=result.value.priority,
                ai_tags=result.value.tags,
                ai_updated_at=sa.func.clock_timestamp(),
                analysed_up_to=loaded.up_to,
                updated_at=sa.func.clock_timestamp(),
            )
            .returning(Conversation)
            .execution_options(populate_existing=True)
        )
        told_by = {"provider": result.provider, "model": result.model, "promptVersion": result.prompt_version}
        conversation = (await uow.session.execute(statement)).scalar_one_or_none()
        if conversation is None:
            return {"cached": False, "stored": False, **told_by}
        data = AIData(
            summary=conversation.ai_summary,
            priority=result.value.priority,
            tags=conversation.ai_tags,
            updated_at=conversation.ai_updated_at,
        )
        uow.emit(
            "conversation:ai:update",
            {"conversationId": str(conversation.id), "aiData": data.model_dump(mode="json", by_alias=True)},
            to=audience(conversation.assigned_agent_id),
        )
        await publish(
            uow,
            "conversation.analyzed",
            {
                "conversationId": conversation.id,
                "leadId": conversation.lead_id,
                "aiData": data.model_dump(mode="json", by_alias=True),
            },
        )
        uow.audit(
            "conversation.analyze",
            "conversation",
            conversation.id,
            actor="ai",
            requestedBy=task.requested_by,
            **told_by,
        )
        return {"cached": False, "stored": True, "upToSeq": loaded.up_to, **told_by}
