"""Reads of leads, each starting from what the caller may see."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.http.paging import decode_cursor, encode_cursor, ordered, text_matches
from contactship_api.http.problems import BadCursor
from contactship_api.http.totals import bounded, total_of
from contactship_api.leads.schemas import AddressOut, LeadOut, LeadStatistics, PersonOut, SummaryError, SummaryStatus
from contactship_common.errors import Forbidden
from contactship_common.models import Lead, LeadSource, LeadStatus, Person, Task, TaskStatus
from contactship_common.tasks.catalog import LeadSummary

SORTS: dict[str, Any] = {
    "createdAt": col(Lead.created_at),
    "updatedAt": col(Lead.updated_at),
    "name": col(Lead.name_sort),
}

# The newest summary task decides what the lead's summary is doing; ids are UUIDv7, so the greatest is the newest.
newest_task = (
    sa.select(col(Task.status).label("task_status"), col(Task.error).label("task_error"))
    .where(col(Task.subject_id) == col(Lead.id), col(Task.kind) == LeadSummary.KIND)
    .order_by(col(Task.id).desc())
    .limit(1)
    .lateral("newest_task")
)


@dataclass(frozen=True, slots=True)
class LeadFilter:
    """What a list is narrowed to."""

    status: LeadStatus | None = None
    source: LeadSource | None = None
    owner_id: UUID | None = None
    search: str | None = None


def visible(who: Principal) -> sa.Select[Any]:
    """Leads with person and newest summary task, as far as the caller may see them: all, or none."""
    if not who.may(Scope.LEADS_READ):
        raise Forbidden
    return (
        sa.select(Lead, Person, newest_task.c.task_status, newest_task.c.task_error)
        .join(Person, col(Person.id) == col(Lead.person_id))
        .outerjoin(newest_task, sa.true())
    )


def summary_state(lead: Lead, task_status: str | None, task_error: Any) -> tuple[SummaryStatus, SummaryError | None]:
    """`summaryStatus` and `summaryError`, derived and never stored."""
    if task_status in (TaskStatus.QUEUED, TaskStatus.RUNNING):
        return "processing", None
    if lead.summary is not None:
        return "ready", None
    if task_status == TaskStatus.FAILED:
        return "failed", SummaryError.model_validate(task_error or {"code": "failed", "message": "It failed"})
    if task_status == TaskStatus.CANCELLED:
        return "failed", SummaryError(code="cancelled", message="The task was cancelled")
    return "none", None


def shown(row: Any) -> LeadOut:
    """The API's shape of one row of `visible`."""
    lead, person, task_status, task_error = row
    status, error = summary_state(lead, task_status, task_error)
    return LeadOut(
        id=lead.id,
        person_id=lead.person_id,
        name=f"{person.first_name} {person.last_name}".strip(),
        email=lead.email,
        external_id=lead.external_id,
        source=LeadSource(lead.source),
        status=LeadStatus(lead.status),
        metadata=lead.meta,
        owner_id=lead.owner_id,
        summary=lead.summary,
        next_action=lead.next_action,
        next_action_again=lead.next_action,
        summary_status=status,
        summary_error=error,
        summary_generated_at=lead.summary_generated_at,
        synced_at=lead.synced_at,
        created_at=lead.created_at,
        updated_at=lead.updated_at,
        person=PersonOut(
            id=person.id,
            first_name=person.first_name,
            last_name=person.last_name,
            phone=person.phone,
            phone_e164=person.phone_e164,
            address=AddressOut.model_validate(person.address) if person.address else None,
            date_of_birth=person.date_of_birth,
            nationality=person.nationality,
            gender=person.gender,
            picture_url=person.picture_url,
        ),
    )


async def find(session: AsyncSession, who: Principal, lead_id: UUID) -> tuple[LeadOut, int] | None:
    """One lead and its version."""
    row = (await session.execute(visible(who).where(col(Lead.id) == lead_id))).first()
    return (shown(row), row[0].version) if row else None


def conditions(wanted: LeadFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.status is not None:
        found.append(col(Lead.status) == wanted.status)
    if wanted.source is not None:
        found.append(col(Lead.source) == wanted.source)
    if wanted.owner_id is not None:
        found.append(col(Lead.owner_id) == wanted.owner_id)
    if wanted.search:
        found.append(text_matches(col(Lead.search_text), wanted.search))
    return found


def _bound(name: str, value: Any) -> sa.ColumnElement[Any]:
    try:
        return sa.literal(str(value) if name == "name" else datetime.fromisoformat(value), SORTS[name].type)
    except (ValueError, TypeError):
        raise BadCursor from None


def _order(sort: str) -> tuple[str, Any, bool]:
    name = sort.removeprefix("-")
    return name, SORTS[name], sort.startswith("-")


async def page(
    session: AsyncSession, who: Principal, wanted: LeadFilter, *, sort: str, page: int, take: int, timeout_ms: int
) -> tuple[list[LeadOut], int, bool]:
    """One page by number: rows, the total, and whether the total is an estimate."""
    order = ordered(SORTS, sort, col(Lead.id))
    statement = visible(who).where(*conditions(wanted)).order_by(*order).limit(take).offset((page - 1) * take)
    async with bounded(session, searching=bool(wanted.search), timeout_ms=timeout_ms):
        rows = (await session.execute(statement)).all()
        total, estimated = await total_of(
            session, sa.select(sa.literal(1)).select_from(Lead).where(*conditions(wanted))
        )
    return [shown(row) for row in rows], total, estimated


async def walk(
    session: AsyncSession,
    who: Principal,
    wanted: LeadFilter,
    *,
    sort: str,
    cursor: str | None,
    take: int,
    timeout_ms: int,
) -> tuple[list[LeadOut], str | None]:
    """The rows after the cursor, and the cursor after them; "" starts at the beginning."""
    name, column, descending = _order(sort)
    key = sa.tuple_(column, col(Lead.id))
    statement = visible(who).where(*conditions(wanted))
    if cursor:
        value, last_id = decode_cursor(f"leads:{sort}", cursor, 2)
        bound = sa.tuple_(_bound(name, value), sa.cast(sa.literal(str(last_id)), sa.Uuid()))
        statement = statement.where(key < bound if descending else key > bound)
    order = ordered(SORTS, sort, col(Lead.id))
    async with bounded(session, searching=bool(wanted.search), timeout_ms=timeout_ms):
        rows = (await session.execute(statement.order_by(*order).limit(take + 1))).all()
    following = None
    if len(rows) > take:
        last: Lead = rows[take - 1][0]
        value = {"createdAt": last.created_at, "updatedAt": last.updated_at, "name": last.name_sort}[name]
        following = encode_cursor(f"leads:{sort}", str(value), str(last.id))
    return [shown(row) for row in rows[:take]], following


async def statistics(session: AsyncSession, who: Principal) -> LeadStatistics:
    """All counts from one grouped query."""
    if not who.may(Scope.LEADS_READ):
        raise Forbidden
    statement = sa.select(
        col(Lead.status), col(Lead.source), sa.func.count(), sa.func.count(col(Lead.summary))
    ).group_by(col(Lead.status), col(Lead.source))
    by_status = dict.fromkeys(LeadStatus, 0)
    by_source = dict.fromkeys(LeadSource, 0)
    with_summary = 0
    for status, source, count, summaries in await session.execute(statement):
        by_status[LeadStatus(status)] += count
        by_source[LeadSource(source)] += count
        with_summary += summaries
    return LeadStatistics(
        total=sum(by_status.values()),
        **{str(status): count for status, count in by_status.items()},
        by_source={str(source): count for source, count in by_source.items()},
        with_summary=with_summary,
    )
