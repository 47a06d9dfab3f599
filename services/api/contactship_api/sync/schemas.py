"""Shapes of /sync."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, StrictInt

from contactship_api.http.schemas import CursorMeta, In, Line, Out, UtcTime
from contactship_common.models import SyncJob, SyncStatus
from contactship_common.settings.sync import MAX_BATCH_SIZE


class Trigger(In):
    """`source`: `randomuser`, or the first one configured, if left out. `batchSize` is the page size."""

    source: Annotated[Line | None, Field(max_length=100, examples=["randomuser"])] = None
    batch_size: StrictInt | None = Field(default=None, ge=1, le=MAX_BATCH_SIZE, examples=[10])


class SyncProblem(Out):
    """A record that was refused, by its position in the run (from 1), or, without one, what ended the run."""

    position: int | None
    code: str = Field(examples=["bad_email"])
    message: str


class SyncJobOut(Out):
    """One run of a source. processed = created + skipped + failed; `errors` lists the first of those that failed."""

    id: UUID
    source: str
    status: SyncStatus
    batch_size: int
    records_processed: int
    records_created: int
    records_skipped: int
    records_failed: int
    errors: list[SyncProblem]
    requested_by: str | None
    scheduled_for: UtcTime | None
    started_at: UtcTime | None
    completed_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime

    @classmethod
    def of(cls, job: SyncJob) -> "SyncJobOut":
        return cls.model_validate(job)


class SyncAccepted(SyncJobOut):
    """The run, and the task that works on it at the moment."""

    task_id: UUID


class SyncJobPage(Out):
    data: list[SyncJobOut]
    meta: CursorMeta


class SyncJobDetail(SyncJobOut):
    """The run with the leads it made, a page of ids at a time; those deleted since are left out."""

    lead_ids: list[UUID]
    meta: CursorMeta


class LastRun(Out):
    id: UUID
    status: SyncStatus
    records_processed: int
    records_created: int
    created_at: UtcTime
    completed_at: UtcTime | None


class SourceOut(Out):
    """A configured source. `cron` and `nextRun` are null for one that is asked only when triggered."""

    name: str
    type: str
    cron: str | None
    batch_size: int
    last_run: LastRun | None
    next_run: UtcTime | None


class SourceList(Out):
    data: list[SourceOut]
