"""/tasks: what became of work that was accepted."""

import asyncio
import re
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Request, Response

from contactship_api.access.permissions import Principal
from contactship_api.access.requires import AnyCaller
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.gateway import Gateway
from contactship_api.http.paging import Cursor, CursorLimit
from contactship_api.http.problems import BadCursor
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import CursorMeta
from contactship_api.tasks import queries, service
from contactship_api.tasks.schemas import ENDED, STORED, BatchOut, TaskOut, TaskPage, TaskState
from contactship_common.errors import BatchNotFound, Forbidden, TaskNotCancellable, TaskNotFound, TaskNotRetryable
from contactship_common.models import Task

router = api_router(prefix="/tasks", tags=["tasks"])

MAX_WAIT_SECONDS = 30
_POLL_WITHOUT_REDIS_SECONDS = 1.0
_PREFER_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})\b")

Wait = Annotated[
    int | None,
    Query(ge=0, le=MAX_WAIT_SECONDS, description="Hold the answer until the task ends, at most so many s."),
]
Prefer = Annotated[str | None, Header(max_length=200, description="`wait=N` does the same as `?wait=N`.")]


def _wait_seconds(wait: int | None, prefer: str | None) -> int:
    if wait is not None:
        return wait
    match = _PREFER_WAIT.search(prefer or "")
    return min(int(match[1]), MAX_WAIT_SECONDS) if match else 0


async def _find(gateway: Gateway, who: Principal, task_id: UUID) -> Task:
    async with gateway.runtime.db.reading() as session:
        task = await queries.find(session, who, task_id)
    if task is None:
        raise TaskNotFound
    return task


async def _wait_for_end(gateway: Gateway, who: Principal, task_id: UUID, seconds: int, request: Request) -> Task:
    """Register, read, wait without a database connection, read again. Redis away: a look every second."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with gateway.waiter.registered(task_id) as ended:
        while True:
            task = await _find(gateway, who, task_id)
            left = deadline - loop.time()
            if task.status in ENDED or left <= 0 or await request.is_disconnected():
                return task
            ended.clear()
            pause = left if gateway.waiter.connected else min(left, _POLL_WITHOUT_REDIS_SECONDS)
            try:
                async with asyncio.timeout(min(pause, 5.0)):
                    await ended.wait()
            except TimeoutError:
                continue


@router.get("", response_model=TaskPage)
@raises(BadCursor)
async def list_tasks(
    who: AnyCaller,
    session: Reading,
    kind: Annotated[str | None, Query(max_length=100, examples=["lead.summary"])] = None,
    status: TaskState | None = None,
    subject_id: Annotated[UUID | None, Query(alias="subjectId")] = None,
    limit: CursorLimit = 20,
    cursor: Cursor = None,
) -> TaskPage:
    """The tasks you may see, newest first."""
    stored = STORED[status] if status else None
    rows, following = await queries.page(
        session, who, kind=kind, status=stored, subject_id=subject_id, limit=limit, cursor=cursor
    )
    meta = CursorMeta(next_cursor=following, has_next_page=following is not None)
    return TaskPage(data=[TaskOut.of(row) for row in rows], meta=meta)


@router.get("/batches/{batch_id}", response_model=BatchOut)
@raises(BatchNotFound)
async def get_batch(batch_id: UUID, who: AnyCaller, session: Reading) -> BatchOut:
    """How far a batch has come."""
    found = await queries.batch(session, who, batch_id)
    if found is None:
        raise BatchNotFound
    return found


@router.get("/{task_id}", response_model=TaskOut)
@raises(TaskNotFound)
async def get_task(
    request: Request, task_id: UUID, who: AnyCaller, gateway: TheGateway, wait: Wait = None, prefer: Prefer = None
) -> TaskOut:
    """One task; with `wait` the answer is held until the task ends."""
    seconds = _wait_seconds(wait, prefer)
    return TaskOut.of(await _wait_for_end(gateway, who, task_id, seconds, request))


@router.delete("/{task_id}", status_code=204)
@raises(TaskNotFound, TaskNotCancellable, Forbidden)
async def cancel_task(task_id: UUID, who: AnyCaller, uow: Uow) -> Response:
    """Cancel a task that is still queued."""
    await service.cancel(uow, who, task_id)
    return Response(status_code=204)


@router.post("/{task_id}/retry", status_code=202, response_model=TaskOut)
@raises(TaskNotFound, TaskNotRetryable, Forbidden)
async def retry_task(task_id: UUID, who: AnyCaller, uow: IdempotentUow, response: Response) -> TaskOut:
    """Run a failed task again, with all its attempts."""
    task = await service.retry(uow, who, task_id)
    response.headers["Location"] = f"/api/v1/tasks/{task_id}"
    response.headers["Retry-After"] = "1"
    return TaskOut.of(task)
