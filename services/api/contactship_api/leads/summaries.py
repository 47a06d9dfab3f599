"""Asking for summaries: one lead, or many at once."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.leads.missing import lead_missing
from contactship_api.leads.schemas import SummarizeMany, SummaryFilter
from contactship_common.models import Batch, Lead, Task, TaskStatus
from contactship_common.summaries import NOT_FRESH, add_to_batch, is_fresh
from contactship_common.tasks.catalog import LeadSummary, LeadSummaryBatch
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork

# The plain case: the lead is there, has no fresh summary, and no task that makes one. All others read first.
_PLAIN = f"""
asked AS (SELECT FROM leads WHERE id = %(lead_id)s AND (%(force)s OR {NOT_FRESH})
                              AND NOT EXISTS (SELECT FROM tasks WHERE slot = %(slot)s))
"""  # noqa: S608  # constants


async def request(uow: UnitOfWork, lead_id: UUID, *, force: bool, ttl_seconds: int) -> TaskRef | None:
    """The task that will write the summary: a new one, or the one that waits or runs already. None: it is fresh.

    Raises:
        LeadNotFound
    """
    if uow.is_untouched:
        task = LeadSummary(lead_id=lead_id, force=force)
        plain = {"lead_id": lead_id, "slot": task.slot(), "force": force, "ttl": ttl_seconds}
        if (asked := await uow.enqueue_if(task, _PLAIN, plain, rerun=force)) is not None:
            return asked
    # A run stores its summary and ends in one transaction. With the lead held against that, it is seen either before
    # or after: never a summary still missing together with a slot already free, which would make a second task. (One
    # that finds nothing new to store ends without the lead; a task made just then ends in the same way, unpaid.)
    lead = sa.select(is_fresh(ttl_seconds), col(Lead.facts_changed_at)).where(col(Lead.id) == lead_id)
    row = (await uow.session.execute(lead.with_for_update(read=True))).first()
    if row is None:
        raise await lead_missing(uow.session, lead_id)
    fresh, facts_changed_at = row
    # At most one task holds the slot, and only while it waits or runs.
    holder = sa.select(col(Task.status), col(Task.claimed_at)).where(
        col(Task.slot) == LeadSummary(lead_id=lead_id).slot()
    )
    held = (await uow.session.execute(holder)).first()
    if fresh and held is None and not force:
        return None
    changed_meanwhile = (
        held is not None
        and held.status == TaskStatus.RUNNING
        and held.claimed_at is not None
        and facts_changed_at > held.claimed_at
    )
    ref = uow.enqueue(LeadSummary(lead_id=lead_id, force=force), rerun=force or changed_meanwhile)
    await uow.flush()
    return ref


@dataclass(frozen=True, slots=True)
class AcceptedBatch:
    id: UUID
    queued: int
    already_done: int
    not_found: int
    expansion: TaskRef | None


async def request_many(uow: UnitOfWork, body: SummarizeMany, *, ttl_seconds: int) -> AcceptedBatch:
    """A batch over these leads, or over every lead that matches a filter (turned into tasks by a worker)."""
    if body.filter is not None:
        return await _request_matching(uow, body.filter)
    wanted = list(dict.fromkeys(body.lead_ids or ()))
    statement = sa.select(col(Lead.id), is_fresh(ttl_seconds)).where(col(Lead.id).in_(wanted))
    # Held against runs that end meanwhile, as above.
    held = statement.order_by(col(Lead.id)).with_for_update(read=True)
    found = {row[0]: bool(row[1]) for row in await uow.session.execute(held)}
    stale = [lead_id for lead_id in wanted if found.get(lead_id) is False]
    batch = Batch(
        kind=LeadSummary.KIND,
        not_found=len(wanted) - len(found),
        already_done=len(found) - len(stale),
        requested_by=uow.context.actor,
    )
    uow.session.add(batch)
    refs = [uow.enqueue(LeadSummary(lead_id=lead_id)) for lead_id in stale]
    await uow.flush()
    await add_to_batch(uow.session, batch.id, refs)
    return AcceptedBatch(batch.id, len(refs), batch.already_done, batch.not_found, None)


async def _request_matching(uow: UnitOfWork, wanted: SummaryFilter) -> AcceptedBatch:
    batch = Batch(kind=LeadSummary.KIND, expanding=True, requested_by=uow.context.actor)
    uow.session.add(batch)
    ref = uow.enqueue(
        LeadSummaryBatch(
            batch_id=batch.id, status=wanted.status, source=wanted.source, without_summary=wanted.without_summary
        )
    )
    await uow.flush()
    return AcceptedBatch(batch.id, 0, 0, 0, ref)
