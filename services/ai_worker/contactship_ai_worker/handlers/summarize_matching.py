"""Turns a filter over leads into summary tasks, a page of leads a run, so that a million leads need no long
transaction."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.models import Batch, Lead
from contactship_common.settings import AISettings
from contactship_common.summaries import add_to_batch, is_fresh
from contactship_common.tasks.catalog import LeadSummary, LeadSummaryBatch
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork

LEADS_A_PAGE = 1_000


class SummarizeMatching(Handler[LeadSummaryBatch, None, None]):
    def __init__(self, settings: AISettings) -> None:
        self._settings = settings

    async def load(self, session: AsyncSession, payload: LeadSummaryBatch, task: ClaimedTask) -> None:
        """Everything happens in `record`: the page and its tasks are one transaction."""

    async def work(self, payload: LeadSummaryBatch, loaded: None) -> None:
        """Nothing outside the database."""

    async def record(
        self, uow: UnitOfWork, payload: LeadSummaryBatch, task: ClaimedTask, loaded: None, result: None
    ) -> dict[str, Any]:
        statement = sa.select(col(Lead.id), is_fresh(self._settings.ai_cache_ttl)).order_by(col(Lead.id))
        if payload.status is not None:
            statement = statement.where(col(Lead.status) == payload.status)
        if payload.source is not None:
            statement = statement.where(col(Lead.source) == payload.source)
        if payload.without_summary:
            statement = statement.where(col(Lead.summary).is_(None))
        if payload.after is not None:
            statement = statement.where(col(Lead.id) > payload.after)
        rows = (await uow.session.execute(statement.limit(LEADS_A_PAGE))).all()
        stale = [lead_id for lead_id, fresh in rows if not fresh]
        refs = [uow.enqueue(LeadSummary(lead_id=lead_id)) for lead_id in stale]
        more = len(rows) == LEADS_A_PAGE
        if more:
            uow.enqueue(payload.model_copy(update={"after": rows[-1][0]}))
        await uow.flush()
        await add_to_batch(uow.session, payload.batch_id, refs)
        counted = col(Batch.already_done) + len(rows) - len(stale)
        await uow.session.execute(
            sa.update(Batch).where(col(Batch.id) == payload.batch_id).values(already_done=counted, expanding=more)
        )
        return {"queued": len(stale)}

    async def failed(self, uow: UnitOfWork, payload: LeadSummaryBatch, task: ClaimedTask, error: TaskError) -> None:
        """The batch ends with what it has; this task's failure says why it is not complete."""
        await uow.session.execute(sa.update(Batch).where(col(Batch.id) == payload.batch_id).values(expanding=False))
