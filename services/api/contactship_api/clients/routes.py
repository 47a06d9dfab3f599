"""/clients: paths, status codes, who may call."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response

from contactship_api.access.requires import MeetingsRead, MeetingsWrite
from contactship_api.clients import queries, service
from contactship_api.clients.schemas import ClientCreate, ClientOut, ClientPage, ClientUpdate
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.http import conditional
from contactship_api.http.conditional import NOT_MODIFIED, IfMatch, IfNoneMatch
from contactship_api.http.paging import LimitSynonym, Page, Search, Take, check_depth, page_meta, rows_wanted
from contactship_api.http.problems import PageTooDeep
from contactship_api.http.route import api_router, raises
from contactship_common.errors import (
    ClientEmailTaken,
    ClientHasMeetings,
    ClientNotFound,
    PreconditionFailed,
    SearchTooBroad,
)

router = api_router(prefix="/clients", tags=["clients"])

Sort = Literal["createdAt", "-createdAt", "name", "-name"]


@router.post("", status_code=201, response_model=ClientOut)
@raises(ClientEmailTaken)
async def create_client(body: ClientCreate, who: MeetingsWrite, uow: IdempotentUow) -> Response:
    """Make a client. A lead with the same e-mail, else with the same phone, is linked to it."""
    out = await service.create(uow, who, body)
    return _json(out, 201, {"Location": f"/api/v1/clients/{out.id}"})


@router.get("", response_model=ClientPage)
@raises(PageTooDeep, SearchTooBroad)
async def list_clients(
    who: MeetingsRead,
    session: Reading,
    gateway: TheGateway,
    page: Page = 1,
    take: Take = None,
    limit: LimitSynonym = None,
    search: Search = None,
    sort: Annotated[Sort, Query(description="`-` for descending.")] = "-createdAt",
) -> ClientPage:
    """Clients, newest first by default. `search` looks in name, e-mail, company and phone."""
    wanted = rows_wanted(take, limit)
    check_depth(page, wanted)
    rows, total, estimated = await queries.page(
        session,
        who,
        search=search.strip() if search else None,
        sort=sort,
        page=page,
        take=wanted,
        timeout_ms=gateway.settings.search_timeout_ms,
    )
    return ClientPage(
        data=[ClientOut.model_validate(row) for row in rows], meta=page_meta(page, wanted, total, estimated)
    )


@router.get("/{client_id}", response_model=ClientOut, responses=NOT_MODIFIED)
@raises(ClientNotFound)
async def get_client(
    request: Request, client_id: UUID, who: MeetingsRead, session: Reading, if_none_match: IfNoneMatch = None
) -> Response:
    """One client."""
    found = await queries.find(session, who, client_id)
    if found is None:
        raise ClientNotFound
    out = ClientOut.model_validate(found)
    return conditional.json_unless_known(request, out, conditional.version_at(out.updated_at))


@router.patch("/{client_id}", response_model=ClientOut)
@raises(ClientNotFound, ClientEmailTaken, PreconditionFailed)
async def update_client(
    client_id: UUID, body: ClientUpdate, who: MeetingsWrite, uow: Uow, if_match: IfMatch = None
) -> Response:
    """Change a client; only what is given changes. A new e-mail or phone is compared with leads again."""
    return _json(await service.update(uow, who, client_id, body, if_match), 200)


@router.delete("/{client_id}", status_code=204)
@raises(ClientNotFound, ClientHasMeetings, PreconditionFailed)
async def delete_client(
    client_id: UUID,
    who: MeetingsWrite,
    uow: Uow,
    cascade: Annotated[bool, Query(description="Delete the client's meetings as well.")] = False,
    if_match: IfMatch = None,
) -> Response:
    """Delete a client. One with meetings stays unless `cascade=true`; the problem says how many there are."""
    await service.delete(uow, client_id, cascade=cascade, if_match=if_match)
    return Response(status_code=204)


def _json(out: ClientOut, status: int, headers: dict[str, str] | None = None) -> Response:
    return conditional.json_answer(out, conditional.version_at(out.updated_at), status, headers)
