"""Writes a lead's summary and next action."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.lead_lines import latest_lines
from contactship_ai_worker.lead_summary import PROMPT_NAME, LeadFacts, LeadSummaryOutput, facts_hash
from contactship_ai_worker.prompts import load_prompt
from contactship_ai_worker.run import Answer
from contactship_common.cache_keys import lead_key
from contactship_common.conversations.audience import EVERYBODY
from contactship_common.models import Lead, LeadSource, Person
from contactship_common.models.base import new_id
from contactship_common.outbound.payloads import publish_lead
from contactship_common.settings import AISettings
from contactship_common.tasks.catalog import LeadSummary
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Skip
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork

SOURCE_IN_WORDS: dict[str, str] = {
    LeadSource.MANUAL: "carga manual",
    LeadSource.EXTERNAL_API: "fuente externa",
    LeadSource.CSV: "importación de un archivo",
    LeadSource.WEBHOOK: "contacto por teléfono o mensaje",
}
# Put together once: for each task again would cost more than executing them.
_READ = (
    sa.select(Lead, Person, sa.func.now())
    .join(Person, col(Person.id) == col(Lead.person_id))
    .where(col(Lead.id) == sa.bindparam("lead_id"))
)
# A task that was retried by hand can run beside a newer one: what was read later wins.
_STORE = sa.text("""
WITH stored AS (
     UPDATE leads SET summary = :summary, next_action = :next_action,
            summary_hash = :hash, summary_facts_at = :facts_at, summary_generated_at = now(),
            version = version + 1, updated_at = clock_timestamp()
      WHERE id = :lead_id AND (summary_generated_at IS NULL OR summary_generated_at <= :read_at)
  RETURNING id),
event AS (
     INSERT INTO lead_events (id, lead_id, type, actor, data)
     SELECT :event_id, id, 'summarized', 'ai', CAST(:told AS jsonb) FROM stored)
SELECT id FROM stored
""")
_PROFESSION_KEYS = ("profession", "occupation", "jobTitle", "job_title", "position")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the model is asked about, and which state of the lead that was."""

    facts: LeadFacts
    hash: str
    facts_changed_at: datetime
    read_at: datetime
    task: ClaimedTask


class SummarizeLead(Handler[LeadSummary, Loaded, Answer[LeadSummaryOutput]]):
    def __init__(self, engine: AIEngine, settings: AISettings) -> None:
        self._engine = engine
        self._settings = settings
        self._prompt = load_prompt(PROMPT_NAME, settings.ai_language)

    async def load(self, session: AsyncSession, payload: LeadSummary, task: ClaimedTask) -> Loaded | Done | Skip:
        row = (await session.execute(_READ, {"lead_id": payload.lead_id})).first()
        if row is None:
            return Skip("the lead has been deleted")
        lead, person, now = row
        # Read after the lead: lines that are newer than its `facts_changed_at` only make the summary stale again.
        facts = facts_of(lead, person, now.date(), await latest_lines(session, lead.id))
        question = facts_hash(facts, self._prompt, self._engine.preferred_model)
        if not payload.force and self._answered_already(lead, question, now):
            # The same question was answered: what changed meanwhile was changed back, or was never told to the model.
            same = sa.update(Lead).where(col(Lead.id) == lead.id, col(Lead.facts_changed_at) == lead.facts_changed_at)
            await session.execute(same.values(summary_facts_at=lead.facts_changed_at))
            return Done({"cached": True})
        return Loaded(facts, question, lead.facts_changed_at, now, task)

    def _answered_already(self, lead: Lead, question: str, now: datetime) -> bool:
        if lead.summary is None or lead.summary_generated_at is None or lead.summary_hash != question:
            return False
        return (now - lead.summary_generated_at).total_seconds() < self._settings.ai_cache_ttl

    async def work(self, payload: LeadSummary, loaded: Loaded) -> Answer[LeadSummaryOutput]:
        return await self._engine.ask(
            self._prompt, loaded.facts, LeadSummaryOutput, kind=LeadSummary.KIND, task_id=loaded.task.id
        )

    async def record(
        self,
        uow: UnitOfWork,
        payload: LeadSummary,
        task: ClaimedTask,
        loaded: Loaded,
        result: Answer[LeadSummaryOutput],
    ) -> dict[str, Any]:
        told = {"provider": result.provider, "model": result.model, "promptVersion": result.prompt_version}
        stored = {
            "lead_id": payload.lead_id,
            "summary": result.value.summary,
            "next_action": result.value.next_action,
            "hash": loaded.hash,
            "facts_at": loaded.facts_changed_at,
            "read_at": loaded.read_at,
            "event_id": new_id(),
            "told": orjson.dumps(told).decode(),
        }
        if (await uow.session.execute(_STORE, stored)).first() is None:
            return {"cached": False, "stored": False, **told}
        uow.audit("lead.summarize", "lead", payload.lead_id, actor="ai", requestedBy=task.requested_by, **told)
        uow.forget(lead_key(payload.lead_id))
        uow.emit("lead:updated", {"leadId": str(payload.lead_id), "change": "summarized"}, to=[EVERYBODY])
        await publish_lead(uow, "lead.summarized", payload.lead_id)
        return {"cached": False, "stored": True, **told}


def facts_of(lead: Lead, person: Person, today: date, lines: Sequence[str] = ()) -> LeadFacts:
    """What the model is told. E-mail and phone are not among it; other texts are masked by the engine."""
    meta = lead.meta or {}
    address = person.address or {}
    place = ", ".join(filter(None, (_text(address.get("city")), _text(address.get("country")))))
    return LeadFacts(
        full_name=f"{person.first_name} {person.last_name}".strip(),
        status=lead.status,
        source=SOURCE_IN_WORDS.get(lead.source, lead.source),
        age=_age(person.date_of_birth, today),
        profession=next((text for key in _PROFESSION_KEYS if (text := _text(meta.get(key)))), None),
        location=_text(meta.get("location")) or place or None,
        country=_text(address.get("country")) or person.nationality,
        lines=list(lines),
    )


def _text(value: Any) -> str | None:
    """Metadata is the client's own: only texts are told."""
    return value.strip() or None if isinstance(value, str) else None


def _age(born: date | None, today: date) -> int | None:
    if born is None or born > today:
        return None
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
