"""Every kind of task there is, with its payload (ids only) and its rules.

To add one: write its class here, list it in `KINDS`, and give the worker of its queue a handler. Who asks for the work
calls `uow.enqueue(ThatKind(...))` and never imports the worker.
"""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contactship_common.cache_keys import lead_key

Queue = Literal["ai", "sync", "delivery"]
QUEUES: tuple[Queue, ...] = ("ai", "sync", "delivery")


class TaskKind(BaseModel):
    """Payload and rules of one kind of task.

    `HOLDS` says when the slot is free again: "waiting" at the claim (what arrives during a run queues one more),
    "ended" when the task ends. `ONCE` marks work that must never be done twice, such as sending a message: a run that
    died after it may have acted ends as failed with code `unknown`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    KIND: ClassVar[str]
    QUEUE: ClassVar[Queue]
    PRIORITY: ClassVar[int] = 100  # lower runs first
    LIMIT_SECONDS: ClassVar[float] = 60.0  # of one run of `work`
    MAX_WAIT_SECONDS: ClassVar[float] = 86_400.0  # of uncounted waiting (no provider), then it fails
    HOLDS: ClassVar[Literal["waiting", "ended"]] = "ended"
    ONCE: ClassVar[bool] = False
    CALLBACK_EVENT: ClassVar[str | None] = None  # type of the message when it succeeds; None: takes no callbacks
    TOGETHER: ClassVar[int] = 1  # so many are handled in one transaction where many wait (tasks/together.py)

    def slot(self) -> str | None:
        """While one task holds this name, the same work cannot be queued again; None: no such rule."""
        return None

    def subject_id(self) -> UUID | None:
        """What the task is about: whoever may read that may read the task."""
        return None

    def cache_keys(self) -> tuple[str, ...]:
        """Cached answers that show this task's progress, forgotten whenever its status changes."""
        return ()


class LeadSummary(TaskKind):
    """Write a lead's summary and next action."""

    KIND = "lead.summary"
    QUEUE = "ai"
    LIMIT_SECONDS = 120.0

    lead_id: UUID
    force: bool = False

    def slot(self) -> str:
        return f"{self.KIND}:{self.lead_id}"

    def subject_id(self) -> UUID:
        return self.lead_id

    def cache_keys(self) -> tuple[str, ...]:
        return (lead_key(self.lead_id),)


class LeadSummaryBatch(TaskKind):
    """Queue a summary for every lead that matches a filter, a page of leads a run."""

    KIND = "lead.summary_batch"
    QUEUE = "ai"
    PRIORITY = 50

    batch_id: UUID
    status: str | None = None
    source: str | None = None
    without_summary: bool = False
    after: UUID | None = None

    def subject_id(self) -> UUID:
        return self.batch_id


class SyncFetch(TaskKind):
    """Fetch one page of a source and store it; queues applying it."""

    KIND = "sync.fetch"
    QUEUE = "sync"
    LIMIT_SECONDS = 120.0

    job_id: UUID
    number: int = 1
    cursor: str | None = None

    def slot(self) -> str:
        return f"{self.KIND}:{self.job_id}:{self.number}"

    def subject_id(self) -> UUID:
        return self.job_id


class SyncApply(TaskKind):
    """Turn one stored page into leads; queues fetching the next page, or ends the job."""

    KIND = "sync.apply"
    QUEUE = "sync"
    LIMIT_SECONDS = 120.0

    job_id: UUID
    page_id: UUID

    def slot(self) -> str:
        return f"{self.KIND}:{self.page_id}"

    def subject_id(self) -> UUID:
        return self.job_id


class LeadImportRun(TaskKind):
    """Turn an uploaded CSV into leads, a bounded number of rows a transaction."""

    KIND = "lead.import"
    QUEUE = "sync"
    LIMIT_SECONDS = 600.0

    import_id: UUID

    def slot(self) -> str:
        return f"{self.KIND}:{self.import_id}"

    def subject_id(self) -> UUID:
        return self.import_id


class ClassifyMeeting(TaskKind):
    """Classify a meeting's transcript."""

    KIND = "meeting.classification"
    QUEUE = "ai"
    LIMIT_SECONDS = 120.0
    CALLBACK_EVENT = "meeting.classified"

    meeting_id: UUID
    force: bool = False

    def slot(self) -> str:
        return f"{self.KIND}:{self.meeting_id}"

    def subject_id(self) -> UUID:
        return self.meeting_id


class AnalyzeConversation(TaskKind):
    """Find a conversation's summary, priority and tags. Frees its slot when it starts: what arrives during a run
    queues one more."""

    KIND = "conversation.analysis"
    QUEUE = "ai"
    PRIORITY = 80
    LIMIT_SECONDS = 120.0
    HOLDS = "waiting"

    conversation_id: UUID
    force: bool = False

    def slot(self) -> str:
        return f"{self.KIND}:{self.conversation_id}"

    def subject_id(self) -> UUID:
        return self.conversation_id


class SendDelivery(TaskKind):
    """Send one message or code over WhatsApp or SMS. Never twice."""

    KIND = "delivery.send"
    QUEUE = "delivery"
    PRIORITY = 20
    LIMIT_SECONDS = 60.0
    ONCE = True

    delivery_id: UUID

    def slot(self) -> str:
        return f"{self.KIND}:{self.delivery_id}"

    def subject_id(self) -> UUID:
        return self.delivery_id


class SettleDelivery(TaskKind):
    """Decide about a sending whose answer was lost, once the provider's callback or echo had its time."""

    KIND = "delivery.settle"
    QUEUE = "delivery"

    delivery_id: UUID

    def slot(self) -> str:
        return f"{self.KIND}:{self.delivery_id}"

    def subject_id(self) -> UUID:
        return self.delivery_id


class HandleWebhook(TaskKind):
    """Turn a stored webhook into interactions, messages and leads."""

    KIND = "webhook.handle"
    QUEUE = "delivery"
    PRIORITY = 60
    TOGETHER = 50

    inbox_id: UUID

    def slot(self) -> str:
        return f"{self.KIND}:{self.inbox_id}"

    def subject_id(self) -> UUID:
        return self.inbox_id


class SummarizeCall(TaskKind):
    """Write the summary of a call's transcript."""

    KIND = "call.summary"
    QUEUE = "ai"
    LIMIT_SECONDS = 120.0

    interaction_id: UUID
    force: bool = False

    def slot(self) -> str:
        return f"{self.KIND}:{self.interaction_id}"

    def subject_id(self) -> UUID:
        return self.interaction_id


class DeliverOutbound(TaskKind):
    """Send a message to an address that came through the API: a callback or an outbound webhook. At least once."""

    KIND = "outbound.deliver"
    QUEUE = "delivery"
    PRIORITY = 150  # after codes and messages to people
    MAX_WAIT_SECONDS = 14 * 86_400.0  # its own schedule ends it much earlier; receivers may ask for pauses

    delivery_id: UUID

    def slot(self) -> str:
        return f"{self.KIND}:{self.delivery_id}"

    def subject_id(self) -> UUID:
        return self.delivery_id


KINDS: dict[str, type[TaskKind]] = {
    kind.KIND: kind
    for kind in (
        LeadSummary,
        LeadSummaryBatch,
        SyncFetch,
        SyncApply,
        LeadImportRun,
        ClassifyMeeting,
        AnalyzeConversation,
        SendDelivery,
        SettleDelivery,
        HandleWebhook,
        SummarizeCall,
        DeliverOutbound,
    )
}
