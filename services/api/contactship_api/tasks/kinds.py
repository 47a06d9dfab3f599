"""What the gateway knows about each kind of task: who may read it, and where its subject can be read.

Every kind of the catalog stands here (a test looks): whoever may read what a task is about may read the task.
"""

from dataclasses import dataclass

from contactship_api.access.permissions import Scope
from contactship_common.models import Task
from contactship_common.tasks.catalog import (
    AnalyzeConversation,
    ClassifyMeeting,
    DeliverOutbound,
    HandleWebhook,
    LeadImportRun,
    LeadSummary,
    LeadSummaryBatch,
    SendDelivery,
    SettleDelivery,
    SummarizeCall,
    SyncApply,
    SyncFetch,
    TaskKind,
)


@dataclass(frozen=True, slots=True)
class About:
    """`reads`: who may read such tasks besides whoever asked for them. `path` of the subject, with `{}` for its id."""

    reads: Scope
    path: str | None


ABOUT: dict[type[TaskKind], About] = {
    LeadSummary: About(Scope.LEADS_READ, "/api/v1/leads/{}"),
    LeadSummaryBatch: About(Scope.LEADS_READ, "/api/v1/tasks/batches/{}"),
    SyncFetch: About(Scope.SYNC_RUN, "/api/v1/sync/jobs/{}"),
    SyncApply: About(Scope.SYNC_RUN, "/api/v1/sync/jobs/{}"),
    LeadImportRun: About(Scope.LEADS_ADMIN, "/api/v1/leads/imports/{}"),
    ClassifyMeeting: About(Scope.MEETINGS_READ, "/api/v1/meetings/{}"),
    AnalyzeConversation: About(Scope.ADMIN, "/api/v1/conversations/{}"),
    SendDelivery: About(Scope.ADMIN, "/api/v1/deliveries/{}"),
    SettleDelivery: About(Scope.ADMIN, "/api/v1/deliveries/{}"),
    HandleWebhook: About(Scope.ADMIN, "/api/v1/webhooks/inbox/{}"),
    SummarizeCall: About(Scope.INTERACTIONS_READ, "/api/v1/interactions/{}"),
    DeliverOutbound: About(Scope.WEBHOOKS_MANAGE, None),
}
_BY_NAME = {kind.KIND: about for kind, about in ABOUT.items()}


def readable_with(scopes: frozenset[Scope]) -> list[str]:
    """Names of the kinds whose subjects may be read with these rights."""
    return [name for name, about in _BY_NAME.items() if about.reads in scopes]


def subject_link(task: Task) -> str | None:
    """Where the thing that the task is about can be read."""
    about = _BY_NAME.get(task.kind)
    return about.path.format(task.subject_id) if about and about.path and task.subject_id else None
