"""/sellers: paths, status codes, who may call."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response

from contactship_api.access.requires import LeadsAdmin, MeetingsRead
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.http import conditional
from contactship_api.http.conditional import NOT_MODIFIED, IfMatch, IfNoneMatch
from contactship_api.http.paging import LimitSynonym, Page, Search, Take, check_depth, page_meta, rows_wanted
from contactship_api.http.problems import PageTooDeep
from contactship_api.http.route import api_router, raises
from contactship_api.sellers import queries, service
from contactship_api.sellers.schemas import SellerFull, SellerOut, SellerPage, SellerUpdate
from contactship_common.errors import (
    PreconditionFailed,
    SearchTooBroad,
    SellerEmailTaken,
    SellerHasMeetings,
    SellerNotFound,
    SellerUserUnknown,
)

router = api_router(prefix="/sellers", tags=["sellers"])

Sort = Annotated[Literal["createdAt", "-createdAt", "name", "-name"], Query(description="`-` for descending.")]


@router.post("", status_code=201, response_model=SellerOut)
@raises(SellerEmailTaken, SellerUserUnknown)
async def create_seller(body: SellerFull, who: LeadsAdmin, uow: IdempotentUow) -> Response:
    """Make a seller. E-mails are compared without case and spaces."""
    out = await service.create(uow, who, body)
    return _json(out, 201, {"Location": f"/api/v1/sellers/{out.id}"})


@router.get("", response_model=SellerPage)
@raises(PageTooDeep, SearchTooBroad)
async def list_sellers(
    who: MeetingsRead,
    session: Reading,
    gateway: TheGateway,
    page: Page = 1,
    take: Take = None,
    limit: LimitSynonym = None,
    active: bool | None = None,
    search: Search = None,
    sort: Sort = "name",
) -> SellerPage:
    """Sellers, by name unless `sort` says otherwise. `search` looks in name, e-mail and phone."""
    return await _page(session, who, gateway, page, take, limit, active, search, sort)


@router.get("/active", response_model=SellerPage)
@raises(PageTooDeep, SearchTooBroad)
async def list_active_sellers(
    who: MeetingsRead,
    session: Reading,
    gateway: TheGateway,
    page: Page = 1,
    take: Take = None,
    limit: LimitSynonym = None,
    search: Search = None,
    sort: Sort = "name",
) -> SellerPage:
    """Sellers who can be given meetings; otherwise like the list of all."""
    return await _page(session, who, gateway, page, take, limit, True, search, sort)


async def _page(
    session: Reading,
    who: MeetingsRead,
    gateway: TheGateway,
    page: int,
    take: int | None,
    limit: int | None,
    active: bool | None,
    search: str | None,
    sort: str,
) -> SellerPage:
    wanted = rows_wanted(take, limit)
    check_depth(page, wanted)
    rows, total, estimated = await queries.page(
        session,
        who,
        active=active,
        search=search.strip() if search else None,
        sort=sort,
        page=page,
        take=wanted,
        timeout_ms=gateway.settings.search_timeout_ms,
    )
    return SellerPage(
        data=[SellerOut.model_validate(row) for row in rows], meta=page_meta(page, wanted, total, estimated)
    )


@router.get("/{seller_id}", response_model=SellerOut, responses=NOT_MODIFIED)
@raises(SellerNotFound)
async def get_seller(
    request: Request, seller_id: UUID, who: MeetingsRead, session: Reading, if_none_match: IfNoneMatch = None
) -> Response:
    """One seller."""
    found = await queries.find(session, who, seller_id)
    if found is None:
        raise SellerNotFound
    out = SellerOut.model_validate(found)
    return conditional.json_unless_known(request, out, conditional.version_at(out.updated_at))


@router.put("/{seller_id}", response_model=SellerOut)
@raises(SellerNotFound, SellerEmailTaken, SellerUserUnknown, PreconditionFailed)
async def replace_seller(
    seller_id: UUID, body: SellerFull, who: LeadsAdmin, uow: Uow, if_match: IfMatch = None
) -> Response:
    """Replace a seller as a whole: what the body leaves out is empty afterwards."""
    return _json(await service.update(uow, who, seller_id, body.model_dump(), if_match), 200)


@router.patch("/{seller_id}", response_model=SellerOut)
@raises(SellerNotFound, SellerEmailTaken, SellerUserUnknown, PreconditionFailed)
async def update_seller(
    seller_id: UUID, body: SellerUpdate, who: LeadsAdmin, uow: Uow, if_match: IfMatch = None
) -> Response:
    """Change a seller; only what is given changes."""
    return _json(await service.update(uow, who, seller_id, body.model_dump(exclude_unset=True), if_match), 200)


@router.delete("/{seller_id}", status_code=204)
@raises(SellerNotFound, SellerHasMeetings, PreconditionFailed)
async def delete_seller(seller_id: UUID, who: LeadsAdmin, uow: Uow, if_match: IfMatch = None) -> Response:
    """Delete a seller who never had a meeting; others are deactivated."""
    await service.delete(uow, seller_id, if_match)
    return Response(status_code=204)


def _json(out: SellerOut, status: int, headers: dict[str, str] | None = None) -> Response:
    return conditional.json_answer(out, conditional.version_at(out.updated_at), status, headers)
