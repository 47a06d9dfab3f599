"""/workers/classify…, /workers/classification…, /classifications: paths, status codes, who may call.

What the answers and the filters hold depends on the categories, so the router is made for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from contactship_api.access.permissions import Principal
from contactship_api.access.requires import AiRun, AnyCaller, MeetingsRead, MeetingsWrite
from contactship_api.classifications import queries, service
from contactship_api.classifications.callback import JudgedCallback
from contactship_api.classifications.errors import ClassificationNotFound, MeetingWithoutTranscript
from contactship_api.classifications.schemas import (
    BatchAccepted,
    BatchProgress,
    ClassificationFixed,
    ClassifyAccepted,
    ClassifyMany,
    ClassifyRequest,
    ListQuery,
    PageOf,
    Queued,
)
from contactship_api.classifications.shapes import Shapes
from contactship_api.deps import IdempotentUow, Reading, Uow
from contactship_api.http.days import span
from contactship_api.http.paging import check_depth, page_meta, rows_wanted
from contactship_api.http.problems import PageTooDeep
from contactship_api.http.route import api_router, raises
from contactship_common.classification.categories import Category
from contactship_common.classification.queueing import queue_unclassified
from contactship_common.errors import BatchNotFound, CallbacksNotConfigured, MeetingNotFound, UrlNotAllowed
from contactship_common.outbound import callbacks
from contactship_common.tasks.catalog import ClassifyMeeting

_TASKS = f"/api/v1/tasks?kind={ClassifyMeeting.KIND}"


@raises(MeetingNotFound)
async def classify_batch(body: ClassifyMany, who: AiRun, uow: IdempotentUow, response: Response) -> BatchAccepted:
    """Classify up to 500 meetings. Those that are unknown, have no transcript, or were classified since it last
    changed, make no task and are listed."""
    made = await service.request_many(uow, who, body.meeting_ids, force=body.force_reprocess)
    response.headers["Location"] = f"/api/v1/workers/batch/{made.id}"
    response.headers["Retry-After"] = "2"
    return BatchAccepted(
        batch_id=made.id,
        queued_tasks=list(made.tasks.values()),
        meeting_ids=list(made.tasks),
        total_queued=len(made.tasks),
        already_classified=made.already_classified,
        without_transcript=made.without_transcript,
        not_found=made.not_found,
    )


@raises(BatchNotFound)
async def get_classify_batch(batch_id: UUID, who: AnyCaller, session: Reading) -> BatchProgress:
    """How far a batch has come."""
    found = await queries.batch(session, who, batch_id)
    if found is None:
        raise BatchNotFound
    return found


@raises(ClassificationNotFound)
async def delete_classification(meeting_id: UUID, who: MeetingsWrite, uow: Uow) -> Response:
    """Drop the meeting's classification. It goes to the history, which is shown again beside the next one."""
    await service.drop(uow, meeting_id)
    return Response(status_code=204)


async def queue_all(who: AiRun, uow: IdempotentUow, response: Response) -> Queued:
    """Queue every meeting that has a transcript and neither a classification nor a task that waits or runs."""
    done = await queue_unclassified(uow)
    response.headers["Location"] = _TASKS
    response.headers["Retry-After"] = "2"
    return Queued(queued=done.queued, total=done.total)


@dataclass(frozen=True, slots=True)
class Classifications:
    """The feature, once its shapes are known."""

    router: APIRouter


def configured(categories: Sequence[Category]) -> Classifications:
    """The operations, with these categories in their answers, filters and documentation."""
    router = api_router(tags=["classifications"])
    shapes = Shapes(categories)

    # Before the path with an id, which would take `batch` for one.
    router.post("/workers/classify/batch", status_code=202, response_model=BatchAccepted)(classify_batch)
    router.get("/workers/batch/{batch_id}", response_model=BatchProgress)(get_classify_batch)
    router.delete("/workers/classification/{meeting_id}", status_code=204)(delete_classification)
    router.post("/classifications/queue-unclassified", status_code=202, response_model=Queued)(queue_all)

    async def current(session: Reading, who: Principal, meeting_id: UUID) -> ClassificationFixed:
        found = await queries.current(session, who, meeting_id)
        if found is None:
            raise ClassificationNotFound
        return shapes.out(found)

    @router.post(
        "/workers/classify/{meeting_id}",
        status_code=202,
        response_model=ClassifyAccepted,
        responses={200: {"model": shapes.one, "description": "Nothing has changed since this classification"}},
    )
    @raises(MeetingNotFound, MeetingWithoutTranscript, CallbacksNotConfigured, UrlNotAllowed)
    async def classify_meeting(
        meeting_id: UUID,
        who: AiRun,
        callback: JudgedCallback,
        uow: IdempotentUow,
        body: ClassifyRequest | None = None,
    ) -> Response:
        """Classify a meeting's transcript. While a task waits or runs, asking again gives the same task."""
        asked = body or ClassifyRequest()
        url = callback.url()
        ref = await service.request(uow, who, meeting_id, force=asked.force_reprocess)
        if ref is None:
            found = await current(uow.session, who, meeting_id)
            return Response(found.json_bytes(), media_type="application/json")
        if url is not None:
            await callbacks.want(uow, ref.id, url)
        out = ClassifyAccepted(task_id=ref.id, meeting_id=meeting_id)
        headers = {"Location": f"/api/v1/tasks/{ref.id}", "Retry-After": "1"}
        return Response(out.json_bytes(), status_code=202, media_type="application/json", headers=headers)

    @router.get("/workers/classification/{meeting_id}", response_model=shapes.one)
    @raises(ClassificationNotFound)
    async def get_current_classification(meeting_id: UUID, who: MeetingsRead, session: Reading) -> Response:
        """The meeting's classification."""
        found = await current(session, who, meeting_id)
        return Response(found.json_bytes(), media_type="application/json")

    @router.get("/classifications/{meeting_id}", response_model=shapes.detail)
    @raises(ClassificationNotFound)
    async def get_classification(meeting_id: UUID, who: MeetingsRead, session: Reading) -> Response:
        """The meeting's classification, and in `history` earlier ones, newest first (100 at most)."""
        found = await queries.current(session, who, meeting_id)
        if found is None:
            raise ClassificationNotFound
        history = [shapes.shown(row) for row in await queries.earlier(session, who, meeting_id)]
        out = shapes.detail.model_validate({**shapes.shown(found), "history": history})
        return Response(out.json_bytes(), media_type="application/json")

    async def listed(who: Principal, session: Reading, query: ListQuery) -> Response:
        take = rows_wanted(query.take, query.limit)
        check_depth(query.page, take)
        since, until = span(query.since, query.until)
        rows, total, estimated = await queries.page(
            session, who, query, shapes.labels_asked(query), since=since, until=until, take=take
        )
        meta = page_meta(query.page, take, total, estimated)
        out: PageOf = shapes.page.model_validate({"data": [shapes.shown(row) for row in rows], "meta": meta})
        return Response(out.json_bytes(), media_type="application/json")

    @router.get("/classifications", response_model=shapes.page)
    @raises(PageTooDeep)
    async def list_classifications(
        who: MeetingsRead,
        session: Reading,
        query: Annotated[shapes.query, Query()],  # type: ignore[name-defined]
    ) -> Response:
        """Current classifications, the latest first by default; every category is a filter."""
        return await listed(who, session, query)

    @router.get("/workers/classifications", response_model=shapes.page)
    @raises(PageTooDeep)
    async def list_current_classifications(
        who: MeetingsRead,
        session: Reading,
        query: Annotated[shapes.query, Query()],  # type: ignore[name-defined]
    ) -> Response:
        """The same list as `GET /classifications`."""
        return await listed(who, session, query)

    return Classifications(router)
