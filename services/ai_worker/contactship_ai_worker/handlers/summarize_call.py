"""Writes the summary of a call's transcript, when somebody asks for it."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_ai_worker.call_summary import LIMITS, PROMPT_NAME, CallFacts, CallSummaryOutput, facts_of
from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.prompts import load_prompt
from contactship_ai_worker.run import Answer
from contactship_common.models import CallDetail, Interaction
from contactship_common.settings import AISettings
from contactship_common.tasks.catalog import SummarizeCall
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Skip
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the model is asked about, and the transcript and the summary that this was read with."""

    facts: CallFacts
    transcript: str
    before: str | None
    task: ClaimedTask


class CallSummarizer(Handler[SummarizeCall, Loaded, Answer[CallSummaryOutput]]):
    def __init__(self, engine: AIEngine, settings: AISettings) -> None:
        self._engine = engine
        self._prompt = load_prompt(PROMPT_NAME, settings.ai_language)

    async def load(self, session: AsyncSession, payload: SummarizeCall, task: ClaimedTask) -> Loaded | Done | Skip:
        statement = (
            sa.select(col(Interaction.direction), CallDetail)
            .outerjoin(CallDetail, col(CallDetail.interaction_id) == col(Interaction.id))
            .where(col(Interaction.id) == payload.interaction_id)
        )
        row = (await session.execute(statement)).first()
        if row is None:
            return Skip("the call has been deleted")
        direction, details = row
        transcript = (details.transcript_text or "") if details else ""
        if not transcript.strip():
            return Skip("the call has no transcript")
        if details.summary and not payload.force:
            return Done({"cached": True})
        facts = facts_of(direction, details.duration_sec, transcript)
        return Loaded(facts, transcript, details.summary, task)

    async def work(self, payload: SummarizeCall, loaded: Loaded) -> Answer[CallSummaryOutput]:
        return await self._engine.ask(
            self._prompt,
            loaded.facts,
            CallSummaryOutput,
            kind=SummarizeCall.KIND,
            task_id=loaded.task.id,
            limits=LIMITS,
        )

    async def record(
        self,
        uow: UnitOfWork,
        payload: SummarizeCall,
        task: ClaimedTask,
        loaded: Loaded,
        result: Answer[CallSummaryOutput],
    ) -> dict[str, Any]:
        """What changed meanwhile is newer: a summary that the provider sent, or another transcript."""
        told = {"provider": result.provider, "model": result.model, "promptVersion": result.prompt_version}
        statement = (
            sa.update(CallDetail)
            .where(
                col(CallDetail.interaction_id) == payload.interaction_id,
                col(CallDetail.transcript_text) == loaded.transcript,
                col(CallDetail.summary).is_not_distinct_from(loaded.before),
            )
            .values(summary=result.value.summary, updated_at=sa.func.clock_timestamp())
            .returning(col(CallDetail.interaction_id))
        )
        if (await uow.session.execute(statement)).first() is None:
            return {"cached": False, "stored": False, **told}
        uow.audit(
            "call.summarize", "interaction", payload.interaction_id, actor="ai", requestedBy=task.requested_by, **told
        )
        return {"cached": False, "stored": True, **told}
