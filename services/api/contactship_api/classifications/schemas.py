"""Shapes of classifications: what is the same for every company. The categories come on top, see `shapes`."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from contactship_api.http.paging import MAX_TAKE
from contactship_api.http.schemas import BlankIsNull, In, Line, Out, PageMeta, UtcTime

MAX_BATCH = 500
_SOME_ID = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"

Language = Literal["es", "en"]
Sentiment = Literal["positive", "neutral", "negative"]


class ClassifyRequest(In):
    """All may be left out. `callbackUrl` is told how the task ends; where nothing is queued (200), nothing is told."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"forceReprocess": False}]})

    force_reprocess: StrictBool = False
    callback_url: Annotated[Annotated[Line, Field(max_length=2_048)] | None, BlankIsNull] = None


class ClassifyAccepted(Out):
    task_id: UUID
    meeting_id: UUID
    status: Literal["processing"] = "processing"


class ClassifyMany(In):
    """`forceReprocess` classifies those again whose transcript has not changed."""

    meeting_ids: list[UUID] = Field(min_length=1, max_length=MAX_BATCH, examples=[[_SOME_ID]])
    force_reprocess: StrictBool = False


class BatchAccepted(Out):
    """`queuedTasks` are the tasks of `meetingIds`, in the same order; the three last lists name every id that made no
    task, and why."""

    batch_id: UUID
    queued_tasks: list[UUID]
    meeting_ids: list[UUID]
    total_queued: int
    already_classified: list[UUID]
    without_transcript: list[UUID]
    not_found: list[UUID]


class BatchProgress(Out):
    """`total` = `completed` + `failed` + `processing`, always. `failed` counts what will not be done: failed tasks,
    cancelled ones (`cancelled` of them) and what was not there to begin with (`notFound` of them)."""

    id: UUID
    status: Literal["processing", "completed"]
    total: int
    completed: int
    failed: int
    processing: int
    cancelled: int
    not_found: int
    created_at: UtcTime


class Queued(Out):
    """`total`: meetings with a transcript and without a classification; `queued` of them have a task since now, the
    others had one."""

    queued: int
    total: int


class ClassificationFixed(Out):
    """What was found out about a meeting; a category is null where the transcript gives no ground.

    `correctedFields` name what people have corrected. `outdated`: the transcript has changed since. `processingTimeMs`
    is the model's time with all repairs.
    """

    meeting_id: UUID
    client_id: UUID
    seller_id: UUID
    meeting_at: UtcTime
    urgency: bool
    language: Language
    lost_client_bad_meeting: bool
    sentiment: Sentiment
    confidence_score: float = Field(ge=0.1, le=0.95)
    key_topics: list[str]
    action_items: list[str]
    next_steps: str
    summary: str
    corrected_fields: list[str]
    outdated: bool
    provider: str
    model_used: str
    prompt_version: str
    processed_at: UtcTime
    processing_time_ms: int


class PageOf(Out):
    meta: PageMeta


Sort = Literal["processedAt", "-processedAt", "meetingAt", "-meetingAt"]


class ListQuery(BaseModel):
    """The query parameters of the list, as one model: their number depends on the categories."""

    page: int = Field(1, ge=1, le=1_000_000, description="Page, from 1.")
    take: int | None = Field(None, ge=1, le=MAX_TAKE, description="Rows a page, 1 to 100 (default 10).")
    limit: int | None = Field(None, ge=1, le=MAX_TAKE, description="Another name for `take`.")
    sort: Sort = Field("-processedAt", description="`-` for descending.")
    since: str | None = Field(None, alias="from", max_length=40, description="Meetings from this day (UTC) or moment.")
    until: str | None = Field(
        None,
        alias="to",
        max_length=40,
        description="Meetings to this day (UTC), the whole of which counts, or before this moment.",
    )
    seller_id: UUID | None = Field(None, alias="sellerId")
    client_id: UUID | None = Field(None, alias="clientId")
    urgency: bool | None = None
    language: Language | None = None
    lost_client_bad_meeting: bool | None = Field(None, alias="lostClientBadMeeting")
    sentiment: Sentiment | None = None
    min_confidence: float | None = Field(
        None, alias="minConfidence", ge=0, le=1, description="Only those with this `confidenceScore` or more."
    )
