"""Reads of classifications, each starting from what the caller may see."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.classifications.schemas import BatchProgress, ListQuery
from contactship_api.classifications.shapes import Row
from contactship_api.http.paging import ordered
from contactship_api.http.totals import total_of
from contactship_common.errors import Forbidden
from contactship_common.models import Batch, Meeting, MeetingClassification
from contactship_common.tasks.batches import progress_of
from contactship_common.tasks.catalog import ClassifyMeeting

HISTORY_AT_MOST = 100

SORTS: dict[str, Any] = {
    "processedAt": col(MeetingClassification.processed_at),
    "meetingAt": col(Meeting.meeting_at),
}

_COLUMNS: tuple[Any, ...] = (
    MeetingClassification,
    col(Meeting.client_id),
    col(Meeting.seller_id),
    col(Meeting.meeting_at),
    col(Meeting.transcript_changed_at),
)


def visible(who: Principal) -> sa.Select[Any]:
    """Classifications beside their meetings, as far as the caller may see them: all, or none."""
    if not who.may(Scope.MEETINGS_READ):
        raise Forbidden
    return sa.select(*_COLUMNS).join(Meeting, col(Meeting.id) == col(MeetingClassification.meeting_id))


async def current(session: AsyncSession, who: Principal, meeting_id: UUID) -> Row | None:
    statement = visible(who).where(
        col(MeetingClassification.meeting_id) == meeting_id, col(MeetingClassification.is_current)
    )
    found = (await session.execute(statement)).first()
    return Row(*found) if found else None


async def earlier(session: AsyncSession, who: Principal, meeting_id: UUID) -> list[Row]:
    """What was said about this meeting before, newest first; the newest 100."""
    statement = (
        visible(who)
        .where(col(MeetingClassification.meeting_id) == meeting_id, ~col(MeetingClassification.is_current))
        .order_by(col(MeetingClassification.id).desc())
        .limit(HISTORY_AT_MOST)
    )
    return [Row(*row) for row in await session.execute(statement)]


def conditions(
    query: ListQuery, labels: Mapping[str, str], since: datetime | None, until: datetime | None
) -> tuple[list[Any], list[Any]]:
    """The conditions on classifications, and those on their meetings."""
    own: list[Any] = [col(MeetingClassification.is_current)]
    if labels:
        # As text that is cast: a JSONB value cannot be written out where a long list's total is estimated.
        wanted = sa.cast(sa.literal(orjson.dumps(dict(labels)).decode(), sa.Text), JSONB)
        own.append(col(MeetingClassification.labels).op("@>")(wanted))
    for column, value in (
        (MeetingClassification.urgency, query.urgency),
        (MeetingClassification.language, query.language),
        (MeetingClassification.lost_client_bad_meeting, query.lost_client_bad_meeting),
        (MeetingClassification.sentiment, query.sentiment),
    ):
        if value is not None:
            own.append(col(column) == value)
    if query.min_confidence is not None:
        own.append(col(MeetingClassification.confidence_score) >= query.min_confidence)
    of_meeting: list[Any] = []
    if query.seller_id is not None:
        of_meeting.append(col(Meeting.seller_id) == query.seller_id)
    if query.client_id is not None:
        of_meeting.append(col(Meeting.client_id) == query.client_id)
    if since is not None:
        of_meeting.append(col(Meeting.meeting_at) >= since)
    if until is not None:
        of_meeting.append(col(Meeting.meeting_at) < until)
    return own, of_meeting


async def page(
    session: AsyncSession,
    who: Principal,
    query: ListQuery,
    labels: Mapping[str, str],
    *,
    since: datetime | None,
    until: datetime | None,
    take: int,
) -> tuple[list[Row], int, bool]:
    """One page: rows, the total, and whether the total is an estimate."""
    own, of_meeting = conditions(query, labels, since, until)
    order = ordered(SORTS, query.sort, col(MeetingClassification.id))
    statement = visible(who).where(*own, *of_meeting).order_by(*order).limit(take).offset((query.page - 1) * take)
    rows = [Row(*row) for row in await session.execute(statement)]
    counted = sa.select(sa.literal(1)).select_from(MeetingClassification).where(*own)
    if of_meeting:
        counted = counted.join(Meeting, col(Meeting.id) == col(MeetingClassification.meeting_id)).where(*of_meeting)
    total, estimated = await total_of(session, counted)
    return rows, total, estimated


async def batch(session: AsyncSession, who: Principal, batch_id: UUID) -> BatchProgress | None:
    """How far a batch has come, counted over its tasks."""
    found = await session.get(Batch, batch_id)
    if found is None or not _may_see(who, found):
        return None
    progress = await progress_of(session, found)
    return BatchProgress(
        id=found.id,
        status="completed" if progress.is_over else "processing",
        total=progress.total,
        completed=progress.completed,
        failed=progress.failed + progress.cancelled + found.not_found,
        processing=progress.open,
        cancelled=progress.cancelled,
        not_found=found.not_found,
        created_at=found.created_at,
    )


def _may_see(who: Principal, found: Batch) -> bool:
    about = Scope.MEETINGS_READ if found.kind == ClassifyMeeting.KIND else Scope.LEADS_READ
    return who.may(Scope.TASKS_READ) or who.may(about) or found.requested_by == who.actor
