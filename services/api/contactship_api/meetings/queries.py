"""Reads of meetings, each starting from what the caller may see."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.http.paging import ordered
from contactship_api.http.totals import bounded, total_of
from contactship_api.meetings.schemas import ClientOfMeeting, MeetingInList, MeetingOut, SellerOfMeeting
from contactship_common.errors import Forbidden
from contactship_common.models import Client, Meeting, MeetingClassification, MeetingStatus, Seller

SORTS: dict[str, Any] = {"meetingAt": col(Meeting.meeting_at), "createdAt": col(Meeting.created_at)}

_classified = (
    sa.select(sa.literal(1))
    .where(col(MeetingClassification.meeting_id) == col(Meeting.id), col(MeetingClassification.is_current))
    .exists()
)
_preview = sa.func.left(col(Meeting.transcript), 200)


@dataclass(frozen=True, slots=True)
class MeetingFilter:
    """What a list is narrowed to; `since` is in the span, `until` is not."""

    client_id: UUID | None = None
    seller_id: UUID | None = None
    status: MeetingStatus | None = None
    closed: bool | None = None
    classified: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    search: str | None = None


def visible(who: Principal) -> sa.Select[Any]:
    """Meetings with client and seller, as far as the caller may see them: all, or none."""
    if not who.may(Scope.MEETINGS_READ):
        raise Forbidden
    selected: sa.Select[Any] = sa.select(Meeting, Client, Seller, _classified.label("classified"))  # type: ignore[assignment]
    return selected.join(Client, col(Client.id) == col(Meeting.client_id)).join(
        Seller, col(Seller.id) == col(Meeting.seller_id)
    )


def shown(row: Any) -> MeetingOut:
    """The API's shape of one row of `visible`."""
    return MeetingOut(**_common(row), transcript=row[0].transcript)


def _in_list(row: Any) -> MeetingInList:
    return MeetingInList(**_common(row), transcript_preview=row.transcript_preview)


def _common(row: Any) -> dict[str, Any]:
    meeting, client, seller, classified = row[:4]
    return {
        "id": meeting.id,
        "client_id": meeting.client_id,
        "seller_id": meeting.seller_id,
        "client": ClientOfMeeting.model_validate(client),
        "seller": SellerOfMeeting.model_validate(seller),
        "meeting_at": meeting.meeting_at,
        "duration_minutes": meeting.duration_minutes,
        "status": MeetingStatus(meeting.status),
        "closed": meeting.status == MeetingStatus.CLOSED,
        "classified": classified,
        "created_at": meeting.created_at,
        "updated_at": meeting.updated_at,
    }


async def find(session: AsyncSession, who: Principal, meeting_id: UUID) -> MeetingOut | None:
    # A write in this session is shown as the database has it.
    statement = visible(who).where(col(Meeting.id) == meeting_id).execution_options(populate_existing=True)
    row = (await session.execute(statement)).first()
    return shown(row) if row else None


def conditions(wanted: MeetingFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.client_id is not None:
        found.append(col(Meeting.client_id) == wanted.client_id)
    if wanted.seller_id is not None:
        found.append(col(Meeting.seller_id) == wanted.seller_id)
    if wanted.status is not None:
        found.append(col(Meeting.status) == wanted.status)
    if wanted.closed is not None:
        is_closed = col(Meeting.status) == MeetingStatus.CLOSED
        found.append(is_closed if wanted.closed else ~is_closed)
    if wanted.classified is not None:
        found.append(_classified if wanted.classified else ~_classified)
    if wanted.since is not None:
        found.append(col(Meeting.meeting_at) >= wanted.since)
    if wanted.until is not None:
        found.append(col(Meeting.meeting_at) < wanted.until)
    if wanted.search:
        text = wanted.search.lower()
        clients = sa.select(col(Client.id)).where(col(Client.name_sort).contains(text, autoescape=True))
        sellers = sa.select(col(Seller.id)).where(col(Seller.name_sort).contains(text, autoescape=True))
        found.append(sa.or_(col(Meeting.client_id).in_(clients), col(Meeting.seller_id).in_(sellers)))
    return found


async def page(
    session: AsyncSession, who: Principal, wanted: MeetingFilter, *, sort: str, page: int, take: int, timeout_ms: int
) -> tuple[list[MeetingInList], int, bool]:
    """One page by number: rows, the total, and whether the total is an estimate."""
    narrowed = conditions(wanted)
    statement = visible(who).where(*narrowed).order_by(*ordered(SORTS, sort, col(Meeting.id)))
    # A hundred whole transcripts would be megabytes that nobody reads in a list.
    statement = statement.add_columns(_preview.label("transcript_preview"))
    statement = statement.options(sa.orm.defer(col(Meeting.transcript), raiseload=True))  # type: ignore[arg-type]
    async with bounded(session, searching=bool(wanted.search), timeout_ms=timeout_ms):
        rows = (await session.execute(statement.limit(take).offset((page - 1) * take))).all()
        total, estimated = await total_of(session, sa.select(sa.literal(1)).select_from(Meeting).where(*narrowed))
    return [_in_list(row) for row in rows], total, estimated
