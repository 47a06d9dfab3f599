"""Tables, one file a subject. Importing this package registers all of them."""

from contactship_common.models.access import ApiKey, TokenFamily
from contactship_common.models.ai_call import AICall
from contactship_common.models.ai_feedback import AIFeedback
from contactship_common.models.audit import AuditLog
from contactship_common.models.contact_center import (
    CallDetail,
    Delivery,
    DeliveryState,
    Direction,
    Interaction,
    InteractionChannel,
    InteractionEvent,
    InteractionStatus,
    OtpChallenge,
    OtpLimit,
    OtpPurpose,
    OtpStatus,
    Outcome,
    Provider,
)
from contactship_common.models.conversation import (
    Channel,
    ContentType,
    Conversation,
    ConversationStatus,
    Message,
    MessageStatus,
    Priority,
    SenderType,
)
from contactship_common.models.idempotency import IdempotencyRecord
from contactship_common.models.kpi import KpiLabelDay, KpiMeeting, KpiSellerDay, KpiSlot
from contactship_common.models.lead import Lead, LeadEvent, LeadPhone, LeadSource, LeadStatus, MergedLead, Person
from contactship_common.models.lead_import import LeadImport, LeadImportError, LeadImportPiece
from contactship_common.models.meeting import (
    Client,
    Meeting,
    MeetingClassification,
    MeetingStatus,
    SeededMeeting,
    Seller,
)
from contactship_common.models.outbound import DeliveryStatus, OutboundAttempt, OutboundDelivery, TaskCallback
from contactship_common.models.sync import SyncJob, SyncJobLead, SyncPage, SyncStatus
from contactship_common.models.task import Batch, BatchItem, Task, TaskStatus
from contactship_common.models.user import Role, User
from contactship_common.models.webhook import InboxEntry, WebhookEndpoint
from contactship_common.models.worker import WorkerHeartbeat

__all__ = [
    "AICall",
    "AIFeedback",
    "ApiKey",
    "AuditLog",
    "Batch",
    "BatchItem",
    "CallDetail",
    "Channel",
    "Client",
    "ContentType",
    "Conversation",
    "ConversationStatus",
    "Delivery",
    "DeliveryState",
    "DeliveryStatus",
    "Direction",
    "IdempotencyRecord",
    "InboxEntry",
    "Interaction",
    "InteractionChannel",
    "InteractionEvent",
    "InteractionStatus",
    "KpiLabelDay",
    "KpiMeeting",
    "KpiSellerDay",
    "KpiSlot",
    "Lead",
    "LeadEvent",
    "LeadImport",
    "LeadImportError",
    "LeadImportPiece",
    "LeadPhone",
    "LeadSource",
    "LeadStatus",
    "Meeting",
    "MeetingClassification",
    "MeetingStatus",
    "MergedLead",
    "Message",
    "MessageStatus",
    "OtpChallenge",
    "OtpLimit",
    "OtpPurpose",
    "OtpStatus",
    "OutboundAttempt",
    "OutboundDelivery",
    "Outcome",
    "Person",
    "Priority",
    "Provider",
    "Role",
    "SeededMeeting",
    "Seller",
    "SenderType",
    "SyncJob",
    "SyncJobLead",
    "SyncPage",
    "SyncStatus",
    "Task",
    "TaskCallback",
    "TaskStatus",
    "TokenFamily",
    "User",
    "WebhookEndpoint",
    "WorkerHeartbeat",
]
