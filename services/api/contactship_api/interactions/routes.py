"""/interactions: paths, status codes, who may call.

Reading takes `interactions:read`, annotating and closing `conversations:write` (it is what whoever answers customers
has), summaries `ai:run`. Whoever may read sees every interaction, masked; the messages inside only of conversations
that they may see.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Path as PathParameter
from fastapi import Query, Response

from contactship_api.access.requires import AiRun, ConversationsWrite, InteractionsRead
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.http.paging import Cursor, CursorLimit
from contactship_api.http.personal_data import PII_PROBLEMS, Masked, Personal
from contactship_api.http.problems import BadCursor
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import CursorMeta
from contactship_api.interactions import clients, metrics, queries, service
from contactship_api.interactions.errors import (
    InteractionEnded,
    InteractionNotFound,
    InteractionNotYours,
    NotSummarizable,
    PhoneNotUnderstood,
)
from contactship_api.interactions.metrics import InteractionMetrics
from contactship_api.interactions.period import DateFrom, DateTo, From, To, Tz, period, zone_of
from contactship_api.interactions.schemas import (
    CallSummaryAccepted,
    ClientView,
    InteractionDetail,
    InteractionList,
    InteractionUpdate,
)
from contactship_common.errors import SearchTooBroad
from contactship_common.models import Direction, InteractionChannel, InteractionStatus, Provider

router = api_router(prefix="/interactions", tags=["interactions"])

_NUMBER = "A whole number, in any notation with its country code"
_SEARCH = (
    "A whole number or its last four digits; else part of customerRef, intent, summary or transcript. Parts of numbers "
    "and texts with digits are found only in answers with `includePii`."
)


@router.get("", response_model=InteractionList)
@raises(BadCursor, SearchTooBroad, *PII_PROBLEMS)
async def list_interactions(
    who: InteractionsRead,
    personal: Personal,
    session: Reading,
    gateway: TheGateway,
    channel: InteractionChannel | None = None,
    direction: Direction | None = None,
    status: InteractionStatus | None = None,
    provider: Provider | None = None,
    from_number: Annotated[str | None, Query(alias="from", max_length=255, description=_NUMBER)] = None,
    to_number: Annotated[str | None, Query(alias="to", max_length=255, description=_NUMBER)] = None,
    agent: Annotated[str | None, Query(max_length=255, description="The assigned agent, exactly.")] = None,
    date_from: DateFrom = None,
    date_to: DateTo = None,
    lead_id: Annotated[UUID | None, Query(alias="leadId")] = None,
    search: Annotated[str | None, Query(max_length=200, description=_SEARCH)] = None,
    limit: CursorLimit = 20,
    cursor: Cursor = None,
) -> InteractionList:
    """Calls, WhatsApp and SMS, the newest start first. Personal data are masked for everybody."""
    since, until = period(date_from, date_to, ("dateFrom", "dateTo"))
    wanted = queries.InteractionFilter(
        channel=channel,
        direction=direction,
        status=status,
        provider=provider,
        from_number=from_number,
        to_number=to_number,
        agent=agent,
        since=since,
        until=until,
        lead_id=lead_id,
        search=search.strip() if search else None,
    )
    rows, following = await queries.walk(
        session,
        wanted,
        personal,
        region=gateway.contact_center.default_region,
        limit=limit,
        cursor=cursor,
        timeout_ms=gateway.settings.search_timeout_ms,
    )
    personal.shows("interaction", [row.id for row in rows])
    return InteractionList(data=rows, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))


@router.get("/metrics", response_model=InteractionMetrics)
@raises(SearchTooBroad)
async def interaction_metrics(
    who: InteractionsRead, session: Reading, gateway: TheGateway, from_: From = None, to: To = None, tz: Tz = "UTC"
) -> InteractionMetrics:
    """Volume per channel and hour, average handling time and abandoned share, of at most 93 days."""
    zone = zone_of(tz)
    since, until = metrics.asked(from_, to, zone)
    return await metrics.measure(session, since, until, zone, tz, timeout_ms=gateway.settings.search_timeout_ms)


@router.get("/client/{phone}", response_model=ClientView)
@raises(PhoneNotUnderstood, *PII_PROBLEMS)
async def client_view(
    phone: Annotated[str, PathParameter(description=_NUMBER, examples=["+5491155551234"])],
    who: InteractionsRead,
    personal: Personal,
    session: Reading,
    gateway: TheGateway,
) -> ClientView:
    """What there was with one number: how much, how it ended, when last, and the lead who has it."""
    found = await clients.view(session, phone, personal, region=gateway.contact_center.default_region)
    last = found.last_interaction
    lead_id = str(found.lead_id) if found.lead_id else None
    personal.shows("interaction", [last.id] if last else [], leadId=lead_id)
    return found


@router.get("/{interaction_id}", response_model=InteractionDetail)
@raises(InteractionNotFound, *PII_PROBLEMS)
async def get_interaction(
    interaction_id: UUID, who: InteractionsRead, personal: Personal, session: Reading
) -> InteractionDetail:
    """One interaction with its events, messages, call, codes and sendings."""
    found = await queries.find(session, who, interaction_id, personal)
    personal.shows("interaction", [interaction_id])
    return found


@router.patch("/{interaction_id}", response_model=InteractionDetail)
@raises(InteractionNotFound, InteractionNotYours, InteractionEnded)
async def change_interaction(
    interaction_id: UUID, body: InteractionUpdate, who: ConversationsWrite, uow: Uow, personal: Masked
) -> InteractionDetail:
    """Annotate it, hand it on or close it. What has ended stays ended."""
    return await service.change(uow, who, interaction_id, body, personal)


@router.post(
    "/{interaction_id}/summarize",
    status_code=202,
    response_model=CallSummaryAccepted,
    responses={200: {"model": InteractionDetail, "description": "There is a summary; nothing was queued"}},
)
@raises(InteractionNotFound, NotSummarizable)
async def summarize_interaction(
    interaction_id: UUID,
    who: AiRun,
    uow: IdempotentUow,
    personal: Masked,
    force: Annotated[bool, Query(description="Make it again although there is one.")] = False,
) -> Response:
    """Have a call's transcript summarised. While a task waits or runs, asking again gives the same task."""
    ref = await service.request_summary(uow, interaction_id, force=force)
    if ref is None:
        found = await queries.find(uow.session, who, interaction_id, personal)
        return Response(found.json_bytes(), media_type="application/json")
    out = CallSummaryAccepted(interaction_id=interaction_id, task_id=ref.id, message="The summary is being written.")
    headers = {"Location": f"/api/v1/tasks/{ref.id}", "Retry-After": "1"}
    return Response(out.json_bytes(), status_code=202, media_type="application/json", headers=headers)
