"""Reads of runs and sources. All of them need the right `sync:run`, whatever they are about."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlmodel import col

from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_common.models import SyncJob, SyncJobLead


async def find(session: AsyncSession, job_id: UUID) -> SyncJob | None:
    return await session.get(SyncJob, job_id)


async def page(session: AsyncSession, *, limit: int, cursor: str | None) -> tuple[list[SyncJob], str | None]:
    """The newest first, and the cursor of the next page."""
    statement = sa.select(SyncJob)
    if cursor:
        statement = statement.where(col(SyncJob.id) < UUID(decode_cursor("sync_jobs", cursor, 1)[0]))
    rows = list((await session.execute(statement.order_by(col(SyncJob.id).desc()).limit(limit + 1))).scalars())
    following = encode_cursor("sync_jobs", str(rows[limit - 1].id)) if len(rows) > limit else None
    return rows[:limit], following


async def lead_ids(
    session: AsyncSession, job_id: UUID, *, limit: int, cursor: str | None
) -> tuple[list[UUID], str | None]:
    """The leads that a run made, in the order of their ids, and the cursor of the next page."""
    statement = sa.select(col(SyncJobLead.lead_id)).where(col(SyncJobLead.job_id) == job_id)
    if cursor:
        statement = statement.where(col(SyncJobLead.lead_id) > UUID(decode_cursor("sync_job_leads", cursor, 1)[0]))
    rows = list((await session.execute(statement.order_by(col(SyncJobLead.lead_id)).limit(limit + 1))).scalars())
    following = encode_cursor("sync_job_leads", str(rows[limit - 1])) if len(rows) > limit else None
    return rows[:limit], following


async def last_runs(session: AsyncSession, sources: Sequence[str]) -> tuple[dict[str, SyncJob], datetime]:
    """The newest run of each of these sources, and what time the database has."""
    names = sa.func.unnest(sa.literal(list(sources), sa.ARRAY(sa.Text))).table_valued("name")
    job = aliased(SyncJob)
    newest = sa.select(job).where(col(job.source) == names.c.name).order_by(col(job.id).desc()).limit(1)
    found = aliased(SyncJob, newest.correlate(names).lateral())
    statement = sa.select(found).select_from(names.join(found, sa.true()))
    jobs = (await session.execute(statement)).scalars()
    now: datetime = (await session.execute(sa.select(sa.func.now()))).scalar_one()
    return {job.source: job for job in jobs}, now
