"""Classifies a meeting's transcript."""

import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.meeting_classification import (
    LIMITS,
    MAX_OUTPUT_TOKENS,
    FixedOutput,
    MeetingFacts,
    facts_of,
    output_model,
    prompt_of,
    split,
)
from contactship_ai_worker.run import Answer
from contactship_common.classification.categories import Category
from contactship_common.classification.corrections import lock_meeting, newest_corrections, overlay
from contactship_common.clients import touch_leads_of_clients
from contactship_common.models import Meeting, MeetingClassification, Seller
from contactship_common.outbound import callbacks, payloads
from contactship_common.outbound.events import publish
from contactship_common.settings import AISettings
from contactship_common.tasks.catalog import ClassifyMeeting
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Skip
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork

CLASSIFIED = "meeting.classified"
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the model is asked about, and which transcript that was."""

    facts: MeetingFacts
    transcript_at: datetime | None
    read_at: datetime
    task: ClaimedTask


@dataclass(frozen=True, slots=True)
class Classified:
    """The answer, and how long it took with all repairs and failovers."""

    answer: Answer[FixedOutput]
    took_ms: int


class Classify(Handler[ClassifyMeeting, Loaded, Classified]):
    """`categories` are read once: another file needs a new start, here and in the gateway."""

    def __init__(self, engine: AIEngine, settings: AISettings, categories: tuple[Category, ...]) -> None:
        self._engine = engine
        self._categories = categories
        self._prompt = prompt_of(categories, settings.ai_language)
        self._output = output_model(categories)

    async def load(self, session: AsyncSession, payload: ClassifyMeeting, task: ClaimedTask) -> Loaded | Done | Skip:
        current = sa.and_(
            col(MeetingClassification.meeting_id) == col(Meeting.id), col(MeetingClassification.is_current)
        )
        statement = (
            sa.select(Meeting, col(Seller.prompt), col(MeetingClassification.transcript_at), sa.func.now())
            .join(Seller, col(Seller.id) == col(Meeting.seller_id))
            .outerjoin(MeetingClassification, current)
            .where(col(Meeting.id) == payload.meeting_id)
        )
        row = (await session.execute(statement)).first()
        if row is None:
            return Skip("the meeting has been deleted")
        meeting, seller_notes, classified_at, now = row
        transcript = meeting.transcript or ""
        if not transcript.strip():
            return Skip("the meeting has no transcript")
        if classified_at is not None and classified_at == meeting.transcript_changed_at and not payload.force:
            return Done({"cached": True})
        return Loaded(facts_of(transcript, seller_notes), meeting.transcript_changed_at, now, task)

    async def work(self, payload: ClassifyMeeting, loaded: Loaded) -> Classified:
        started = time.perf_counter()
        answer = await self._engine.ask(
            self._prompt,
            loaded.facts,
            self._output,
            kind=ClassifyMeeting.KIND,
            task_id=loaded.task.id,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            limits=LIMITS,
        )
        return Classified(answer, round((time.perf_counter() - started) * 1000))

    async def record(
        self, uow: UnitOfWork, payload: ClassifyMeeting, task: ClaimedTask, loaded: Loaded, result: Classified
    ) -> dict[str, Any]:
        answer = result.answer
        told = {"provider": answer.provider, "model": answer.model, "promptVersion": answer.prompt_version}
        if not await lock_meeting(uow.session, payload.meeting_id):
            return {"cached": False, "stored": False, **told}
        meeting = await uow.session.get_one(Meeting, payload.meeting_id)
        current = await _current(uow.session, payload)
        if current is not None and not _replaces(loaded, current, meeting):
            await self._tell_callbacks(uow, task, payloads.classification(current, meeting, self._categories))
            return {"cached": False, "stored": False, **told}
        if current is not None:
            current.is_current = False
            await uow.session.flush()
        row = self._row(payload, loaded, result)
        overlay(row, await newest_corrections(uow.session, payload.meeting_id), self._categories)
        uow.session.add(row)
        await uow.session.flush()
        await uow.session.refresh(row, ["processed_at"])
        shown = payloads.classification(row, meeting, self._categories)
        await self._tell_callbacks(uow, task, shown)
        await publish(uow, CLASSIFIED, shown)
        uow.audit("meeting.classify", "meeting", meeting.id, actor="ai", requestedBy=task.requested_by, **told)
        await touch_leads_of_clients(uow, [meeting.client_id])
        return {"cached": False, "stored": True, **told}

    async def _tell_callbacks(self, uow: UnitOfWork, task: ClaimedTask, shown: dict[str, Any]) -> None:
        told = {"taskId": task.id, "status": "completed", **shown}
        await callbacks.publish_task_end(uow, task, CLASSIFIED, told)

    def _row(self, payload: ClassifyMeeting, loaded: Loaded, result: Classified) -> MeetingClassification:
        value = result.answer.value
        labels, answered = split(value, self._categories)
        row = MeetingClassification(
            meeting_id=payload.meeting_id,
            labels=labels,
            answer=answered,
            urgency=value.urgency,
            language=value.language,
            lost_client_bad_meeting=value.lostClientBadMeeting,
            sentiment=value.sentiment,
            confidence_score=Decimal(value.confidenceScore).quantize(_HUNDREDTH),
            key_topics=value.keyTopics,
            action_items=value.actionItems,
            next_steps=value.nextSteps,
            summary=value.summary,
            provider=result.answer.provider,
            model_used=result.answer.model,
            prompt_version=result.answer.prompt_version,
            transcript_at=loaded.transcript_at,
            processing_time_ms=result.took_ms,
        )
        # Not the transaction's beginning: it may have waited for the meeting's lock.
        row.processed_at = sa.func.clock_timestamp()  # type: ignore[assignment]
        return row


async def _current(session: AsyncSession, payload: ClassifyMeeting) -> MeetingClassification | None:
    statement = sa.select(MeetingClassification).where(
        col(MeetingClassification.meeting_id) == payload.meeting_id, col(MeetingClassification.is_current)
    )
    return (await session.execute(statement)).scalar_one_or_none()


def _replaces(ours: Loaded, current: MeetingClassification, meeting: Meeting) -> bool:
    """Whether our result takes the place of the current one. A task that was retried by hand holds no slot and can run
    beside a newer one: of two transcripts the later counts, of two answers to the same one the one asked for later."""
    if ours.transcript_at == current.transcript_at:
        return current.processed_at <= ours.read_at
    if ours.transcript_at == meeting.transcript_changed_at:
        return True
    if current.transcript_at == meeting.transcript_changed_at or ours.transcript_at is None:
        return False
    return current.transcript_at is None or current.transcript_at < ours.transcript_at
