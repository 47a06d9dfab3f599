"""/sync: runs of lead sources. All of it needs the right `sync:run`, which sales agents do not have."""

from uuid import UUID

from fastapi import Response

from contactship_api.access.requires import SyncRun
from contactship_api.deps import IdempotentUow, Reading, TheGateway
from contactship_api.http.paging import Cursor, CursorLimit
from contactship_api.http.problems import BadCursor
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import CursorMeta
from contactship_api.sync import queries, service
from contactship_api.sync.schemas import (
    SourceList,
    SyncAccepted,
    SyncJobDetail,
    SyncJobOut,
    SyncJobPage,
    Trigger,
)
from contactship_common.errors import SourceNotFound, SyncJobNotFound

router = api_router(prefix="/sync", tags=["sync"])


@router.post("/trigger", status_code=202, response_model=SyncAccepted)
@raises(SourceNotFound)
async def trigger_sync(
    who: SyncRun, uow: IdempotentUow, gateway: TheGateway, response: Response, body: Trigger | None = None
) -> SyncAccepted:
    """Have a source asked now. While a run of it goes on, asking again gives the same run."""
    accepted = await service.trigger(uow, gateway.sync, body or Trigger())
    response.headers["Location"] = f"/api/v1/tasks/{accepted.task_id}"
    response.headers["Retry-After"] = "1"
    return accepted


@router.get("/jobs", response_model=SyncJobPage)
@raises(BadCursor)
async def list_jobs(who: SyncRun, session: Reading, limit: CursorLimit = 20, cursor: Cursor = None) -> SyncJobPage:
    """Runs of all sources, newest first."""
    rows, following = await queries.page(session, limit=limit, cursor=cursor)
    meta = CursorMeta(next_cursor=following, has_next_page=following is not None)
    return SyncJobPage(data=[SyncJobOut.of(row) for row in rows], meta=meta)


@router.get("/sources", response_model=SourceList)
async def list_sources(who: SyncRun, session: Reading, gateway: TheGateway) -> SourceList:
    """The configured sources, when they are asked, and how it went last time."""
    return SourceList(data=await service.list_sources(session, gateway.sync))


@router.get("/jobs/{job_id}", response_model=SyncJobDetail)
@raises(SyncJobNotFound, BadCursor)
async def get_job(
    job_id: UUID, who: SyncRun, session: Reading, limit: CursorLimit = 100, cursor: Cursor = None
) -> SyncJobDetail:
    """One run; `leadIds` are the leads it made, `limit` at a time."""
    job = await queries.find(session, job_id)
    if job is None:
        raise SyncJobNotFound
    ids, following = await queries.lead_ids(session, job_id, limit=limit, cursor=cursor)
    meta = CursorMeta(next_cursor=following, has_next_page=following is not None)
    return SyncJobDetail(**SyncJobOut.of(job).model_dump(), lead_ids=ids, meta=meta)
