"""/leads/export: who may call, and the answer's frame."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from starlette.responses import StreamingResponse

from contactship_api.access.requires import LeadsAdmin
from contactship_api.deps import TheGateway, Uow
from contactship_api.http.route import api_router
from contactship_api.lead_export import queries, rows
from contactship_api.leads.queries import LeadFilter
from contactship_common.models import LeadSource, LeadStatus

router = api_router(prefix="/leads", tags=["leads"])

_CSV = "text/csv; charset=utf-8"
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "CSV in UTF-8: " + ", ".join(rows.COLUMNS),
        "headers": {
            "Content-Disposition": {"schema": {"type": "string"}, "description": "A file name with the time in UTC"}
        },
        "content": {"text/csv": {"schema": {"type": "string"}, "example": rows.header(bom=False).decode()}},
    }
}


@router.get("/export", responses=_ANSWER, response_class=StreamingResponse)
async def export_leads(
    who: LeadsAdmin,
    uow: Uow,
    gateway: TheGateway,
    status: LeadStatus | None = None,
    source: LeadSource | None = None,
    owner_id: Annotated[UUID | None, Query(alias="ownerId")] = None,
    search: Annotated[str | None, Query(max_length=200, description="Part of e-mail, name or phone.")] = None,
    bom: Annotated[bool, Query(description="Begin with a byte order mark, by which Excel knows UTF-8.")] = False,
) -> StreamingResponse:
    """All leads that match, in the order of their ids, as CSV that `POST /leads/import` reads back.

    A value that a spreadsheet would run as a formula (`=`, `+`, `-`, `@`, tab or line break at its start) has an
    apostrophe in front. An answer that breaks off without its last chunk is incomplete.
    """
    text = search.strip() if search else None
    steps = queries.walk(gateway.runtime.db, who, LeadFilter(status, source, owner_id, text))
    # The first step before the first byte: whatever is wrong by then is still a problem with its status.
    first = await anext(steps)
    # What was searched for may be an e-mail or a phone number, so the audit only knows that there was a search.
    owner = str(owner_id) if owner_id else None
    uow.audit("lead.export", "lead", status=status, source=source, ownerId=owner, search=bool(text))
    name = f"leads-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_csv(first, steps, bom=bom), media_type=_CSV, headers=headers)


async def _csv(first: Sequence[Any], steps: AsyncIterator[Sequence[Any]], *, bom: bool) -> AsyncIterator[bytes]:
    yield rows.header(bom=bom)
    yield await asyncio.to_thread(rows.lines, first)
    async for found in steps:
        if found:
            yield await asyncio.to_thread(rows.lines, found)
