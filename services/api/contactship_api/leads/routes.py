"""/leads: paths, status codes, who may call."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response

from contactship_api.access.requires import AiRun, LeadsAdmin, LeadsRead, LeadsWrite
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.http import conditional
from contactship_api.http.conditional import NOT_MODIFIED, IfMatch, IfNoneMatch, json_answer
from contactship_api.http.paging import (
    Cursor,
    CursorLimit,
    LimitSynonym,
    Page,
    Take,
    check_depth,
    page_meta,
    rows_wanted,
)
from contactship_api.http.problems import BadCursor, ExternalIdTaken, PageTooDeep, ValueNotAccepted
from contactship_api.http.ratelimit import MISSING
from contactship_api.http.route import api_router, cached_under, raises
from contactship_api.leads import merge, queries, service, summaries, timeline
from contactship_api.leads.missing import lead_missing
from contactship_api.leads.schemas import (
    BatchAccepted,
    LeadCreate,
    LeadCursorMeta,
    LeadOut,
    LeadPage,
    LeadStatistics,
    LeadUpdate,
    Merge,
    SummarizeMany,
    SummaryAccepted,
)
from contactship_api.leads.timeline import Timeline
from contactship_common.cache import read_through
from contactship_common.cache_keys import lead_key
from contactship_common.errors import (
    LeadEmailTaken,
    LeadNotFound,
    MergeIntoItself,
    MergeTargetNotFound,
    OwnerNotFound,
    PreconditionFailed,
    SearchTooBroad,
)
from contactship_common.models import LeadSource, LeadStatus

router = api_router(prefix="/leads", tags=["leads"])

Sort = Literal["createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name"]


@router.post("", status_code=201, response_model=LeadOut)
@raises(LeadEmailTaken, ExternalIdTaken, OwnerNotFound, ValueNotAccepted)
async def create_lead(body: LeadCreate, who: LeadsWrite, uow: IdempotentUow, gateway: TheGateway) -> Response:
    """Make a lead with its person. E-mails are compared without case and spaces."""
    out, version = await service.create(uow, who, body, gateway.link_leads)
    return json_answer(out, version, 201, {"Location": f"/api/v1/leads/{out.id}"})


@router.get("", response_model=LeadPage)
@raises(BadCursor, PageTooDeep, SearchTooBroad)
async def list_leads(
    who: LeadsRead,
    session: Reading,
    gateway: TheGateway,
    page: Page = 1,
    take: Take = None,
    limit: LimitSynonym = None,
    status: LeadStatus | None = None,
    source: LeadSource | None = None,
    owner_id: Annotated[UUID | None, Query(alias="ownerId")] = None,
    search: Annotated[str | None, Query(max_length=200, description="Part of e-mail, name or phone.")] = None,
    sort: Sort = "-createdAt",
    cursor: Cursor = None,
) -> LeadPage:
    """Leads, newest first by default. Give an empty `cursor=` to walk all of them, however many."""
    wanted_rows = rows_wanted(take, limit)
    text = search.strip() if search else None
    wanted = queries.LeadFilter(status, source, owner_id, text)
    timeout_ms = gateway.settings.search_timeout_ms
    if cursor is not None:
        rows, following = await queries.walk(
            session, who, wanted, sort=sort, cursor=cursor, take=wanted_rows, timeout_ms=timeout_ms
        )
        meta = LeadCursorMeta(next_cursor=following, has_next_page=following is not None, take=wanted_rows)
        return LeadPage(data=rows, meta=meta)
    check_depth(page, wanted_rows)
    rows, total, estimated = await queries.page(
        session, who, wanted, sort=sort, page=page, take=wanted_rows, timeout_ms=timeout_ms
    )
    return LeadPage(data=rows, meta=page_meta(page, wanted_rows, total, estimated))


@router.get("/statistics", response_model=LeadStatistics)
async def lead_statistics(who: LeadsRead, session: Reading) -> LeadStatistics:
    """How many leads there are, by status and by source."""
    return await queries.statistics(session, who)


@router.post("/summarize", status_code=202, response_model=BatchAccepted)
async def summarize_many(
    body: SummarizeMany, who: AiRun, uow: IdempotentUow, gateway: TheGateway, response: Response
) -> BatchAccepted:
    """Ask for the summaries of up to 500 leads, or of all that match a filter. Fresh ones are not made again."""
    accepted = await summaries.request_many(uow, body, ttl_seconds=gateway.runtime.ai.ai_cache_ttl)
    response.headers["Location"] = f"/api/v1/tasks/batches/{accepted.id}"
    response.headers["Retry-After"] = "2"
    return BatchAccepted(
        batch_id=accepted.id,
        task_id=accepted.expansion.id if accepted.expansion else None,
        queued=accepted.queued,
        already_done=accepted.already_done,
        not_found=accepted.not_found,
        message=_message(accepted),
    )


def _message(accepted: summaries.AcceptedBatch) -> str:
    if accepted.queued == 0 and accepted.expansion is None:
        return "There is nothing to do: these leads have fresh summaries or do not exist."
    return "The summaries are being written; follow Location for progress."


def _cache_key(path: dict[str, str]) -> str | None:
    try:
        return lead_key(UUID(path["lead_id"]))
    except ValueError:
        return None


@router.get("/{lead_id}", response_model=LeadOut, responses=NOT_MODIFIED)
@cached_under(_cache_key)
@raises(LeadNotFound)
async def get_lead(
    request: Request, lead_id: UUID, who: LeadsRead, gateway: TheGateway, if_none_match: IfNoneMatch = None
) -> Response:
    """One lead. `X-Cache` says whether the answer came from the cache; it is never older than the last change."""

    async def read() -> bytes | None:
        async with gateway.runtime.db.reading() as session:
            found = await queries.find(session, who, lead_id)
        if found is None:
            return None
        return conditional.packed(found[1], found[0].json_bytes())

    looked_up = request.state.cached
    stored, hit = await read_through(
        gateway.runtime.redis,
        lead_key(lead_id),
        gateway.core.default_cache_ttl,
        read,
        looked_up=None if looked_up is MISSING else looked_up,
    )
    if stored is None:
        async with gateway.runtime.db.reading() as session:
            raise await lead_missing(session, lead_id)
    return conditional.unpacked(stored, {"X-Cache": "hit" if hit else "miss"}, request)


@router.patch("/{lead_id}", response_model=LeadOut)
@raises(LeadNotFound, LeadEmailTaken, ExternalIdTaken, OwnerNotFound, PreconditionFailed, ValueNotAccepted)
async def update_lead(lead_id: UUID, body: LeadUpdate, who: LeadsWrite, uow: Uow, if_match: IfMatch = None) -> Response:
    """Change a lead or its person; only what is given changes."""
    out, version = await service.update(uow, who, lead_id, body, if_match)
    return json_answer(out, version, 200)


@router.delete("/{lead_id}", status_code=204)
@raises(LeadNotFound, PreconditionFailed)
async def delete_lead(lead_id: UUID, who: LeadsAdmin, uow: Uow, if_match: IfMatch = None) -> Response:
    """Delete a lead; its person goes with the last lead, queued tasks are cancelled."""
    await service.delete(uow, who, lead_id, if_match)
    return Response(status_code=204)


@router.post(
    "/{lead_id}/summarize",
    status_code=202,
    response_model=SummaryAccepted,
    responses={200: {"model": LeadOut, "description": "The summary is fresh; nothing was queued"}},
)
@raises(LeadNotFound)
async def summarize_lead(
    lead_id: UUID,
    who: AiRun,
    uow: IdempotentUow,
    gateway: TheGateway,
    force: Annotated[bool, Query(description="Make it again although it is fresh.")] = False,
) -> Response:
    """Have the lead's summary and next action written. While a task waits or runs, asking again gives the same task."""
    ref = await summaries.request(uow, lead_id, force=force, ttl_seconds=gateway.runtime.ai.ai_cache_ttl)
    if ref is None:
        found = await queries.find(uow.session, who, lead_id)
        if found is None:
            raise await lead_missing(uow.session, lead_id)
        return json_answer(*found, 200)
    out = SummaryAccepted(lead_id=lead_id, task_id=ref.id, message="The summary is being written.")
    headers = {"Location": f"/api/v1/tasks/{ref.id}", "Retry-After": "1"}
    return Response(out.json_bytes(), status_code=202, media_type="application/json", headers=headers)


@router.get("/{lead_id}/timeline", response_model=Timeline)
@raises(LeadNotFound, BadCursor)
async def lead_timeline(
    lead_id: UUID, who: LeadsRead, session: Reading, limit: CursorLimit = 20, cursor: Cursor = None
) -> Timeline:
    """Everything that happened to this lead, newest first."""
    return await timeline.read(session, who, lead_id, limit=limit, cursor=cursor)


@router.post("/{lead_id}/merge", response_model=LeadOut)
@raises(LeadNotFound, MergeTargetNotFound, MergeIntoItself)
async def merge_lead(lead_id: UUID, body: Merge, who: LeadsAdmin, uow: IdempotentUow) -> Response:
    """Merge this lead into another: its history, phones and whatever the other lacks move there, and it is deleted.
    Its id then answers 404 with `mergedInto`."""
    return json_answer(*await merge.merge(uow, who, lead_id, body.into_id), 200)
