"""/meetings: paths, status codes, who may call."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response

from contactship_api.access.requires import MeetingsRead, MeetingsWrite
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.http import conditional
from contactship_api.http.conditional import NOT_MODIFIED, IfMatch, IfNoneMatch
from contactship_api.http.days import SpanFrom, SpanTo, span
from contactship_api.http.paging import LimitSynonym, Page, Search, Take, check_depth, page_meta, rows_wanted
from contactship_api.http.problems import PageTooDeep
from contactship_api.http.route import api_router, raises
from contactship_api.meetings import queries, service
from contactship_api.meetings.schemas import MeetingCreate, MeetingOut, MeetingPage, MeetingUpdate
from contactship_common.errors import (
    ClientUnknown,
    MeetingNotFound,
    PreconditionFailed,
    SearchTooBroad,
    SellerInactive,
    SellerUnknown,
)
from contactship_common.models import MeetingStatus

router = api_router(prefix="/meetings", tags=["meetings"])

Sort = Literal["meetingAt", "-meetingAt", "createdAt", "-createdAt"]


@router.post("", status_code=201, response_model=MeetingOut)
@raises(ClientUnknown, SellerUnknown, SellerInactive)
async def create_meeting(body: MeetingCreate, who: MeetingsWrite, uow: IdempotentUow) -> Response:
    """Make a meeting of a client with an active seller. Its transcript is classified only when that is asked for."""
    out = await service.create(uow, who, body)
    return _json(out, 201, {"Location": f"/api/v1/meetings/{out.id}"})


@router.get("", response_model=MeetingPage)
@raises(PageTooDeep, SearchTooBroad)
async def list_meetings(
    who: MeetingsRead,
    session: Reading,
    gateway: TheGateway,
    page: Page = 1,
    take: Take = None,
    limit: LimitSynonym = None,
    client_id: Annotated[UUID | None, Query(alias="clientId")] = None,
    seller_id: Annotated[UUID | None, Query(alias="sellerId")] = None,
    status: MeetingStatus | None = None,
    closed: bool | None = None,
    classified: bool | None = None,
    since: SpanFrom = None,
    until: SpanTo = None,
    search: Search = None,
    sort: Annotated[Sort, Query(description="`-` for descending.")] = "-meetingAt",
) -> MeetingPage:
    """Meetings, the latest first by default. `search` looks in the names of client and seller."""
    wanted_rows = rows_wanted(take, limit)
    check_depth(page, wanted_rows)
    start, end = span(since, until)
    wanted = queries.MeetingFilter(
        client_id, seller_id, status, closed, classified, start, end, search.strip() if search else None
    )
    rows, total, estimated = await queries.page(
        session,
        who,
        wanted,
        sort=sort,
        page=page,
        take=wanted_rows,
        timeout_ms=gateway.settings.search_timeout_ms,
    )
    return MeetingPage(data=rows, meta=page_meta(page, wanted_rows, total, estimated))


@router.get("/{meeting_id}", response_model=MeetingOut, responses=NOT_MODIFIED)
@raises(MeetingNotFound)
async def get_meeting(
    request: Request, meeting_id: UUID, who: MeetingsRead, session: Reading, if_none_match: IfNoneMatch = None
) -> Response:
    """One meeting with its client and seller."""
    out = await queries.find(session, who, meeting_id)
    if out is None:
        raise MeetingNotFound
    return conditional.json_unless_known(request, out, conditional.version_at(out.updated_at))


@router.patch("/{meeting_id}", response_model=MeetingOut)
@raises(MeetingNotFound, ClientUnknown, SellerUnknown, SellerInactive, PreconditionFailed)
async def update_meeting(
    meeting_id: UUID, body: MeetingUpdate, who: MeetingsWrite, uow: Uow, if_match: IfMatch = None
) -> Response:
    """Change a meeting; only what is given changes."""
    return _json(await service.update(uow, who, meeting_id, body, if_match), 200)


@router.patch("/{meeting_id}/close", response_model=MeetingOut)
@raises(MeetingNotFound, PreconditionFailed)
async def close_meeting(meeting_id: UUID, who: MeetingsWrite, uow: Uow, if_match: IfMatch = None) -> Response:
    """Close a meeting. Closing it again changes nothing."""
    return _json(await service.close(uow, who, meeting_id, if_match), 200)


@router.delete("/{meeting_id}", status_code=204)
@raises(MeetingNotFound, PreconditionFailed)
async def delete_meeting(meeting_id: UUID, who: MeetingsWrite, uow: Uow, if_match: IfMatch = None) -> Response:
    """Delete a meeting and its classifications; a queued classification is cancelled."""
    await service.delete(uow, who, meeting_id, if_match)
    return Response(status_code=204)


def _json(out: MeetingOut, status: int, headers: dict[str, str] | None = None) -> Response:
    return conditional.json_answer(out, conditional.version_at(out.updated_at), status, headers)
