"""Shapes of /conversations and /dashboard."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from contactship_api.http.schemas import BlankIsNull, CursorMeta, In, Out, Text, UtcTime, WebUrl
from contactship_api.leads.schemas import LeadOut
from contactship_common.conversations.shapes import MessageOut
from contactship_common.models import Channel, ContentType, ConversationStatus, Priority, SenderType

LONGEST_MESSAGE = 10_000


class ConversationCreate(In):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"leadId": "0192f0c4-8d4e-7c3a-9a55-6f1d2b3c4d5e", "channel": "web"}]}
    )

    lead_id: UUID
    channel: Channel


class ConversationUpdate(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "CLOSED"}]})

    status: ConversationStatus


class Assignment(In):
    """`agentId` null takes the conversation away from everybody but administrators."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"agentId": "0192f0c4-8d4e-7c3a-9a55-6f1d2b3c4d5e"}, {"agentId": None}]}
    )

    agent_id: UUID | None


class MessageCreate(In):
    """A TEXT has `contentText`; the others have `mediaUrl`, and may have a text."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"contentText": "Buenos días, ¿en qué puedo ayudarle?"},
                {"contentType": "IMAGE", "mediaUrl": "https://example.com/catalogo.png", "contentText": "El catálogo"},
            ]
        }
    )

    content_text: Annotated[Annotated[Text, Field(max_length=LONGEST_MESSAGE)] | None, BlankIsNull] = None
    content_type: ContentType = ContentType.TEXT
    media_url: Annotated[WebUrl | None, BlankIsNull] = None
    sender_type: Literal[SenderType.AGENT, SenderType.LEAD] = SenderType.AGENT

    @model_validator(mode="after")
    def _has_content(self) -> "MessageCreate":
        if self.content_type is ContentType.TEXT:
            if self.content_text is None:
                raise PydanticCustomError("content_text_missing", "A TEXT message needs contentText")
            if self.media_url is not None:
                raise PydanticCustomError("media_url_unexpected", "A TEXT message has no mediaUrl")
        elif self.media_url is None:
            raise PydanticCustomError("media_url_missing", "This contentType needs mediaUrl")
        return self


class AgentOut(Out):
    id: UUID
    email: str
    name: str | None


class ConversationOut(Out):
    """A conversation, the same in lists and alone. `unreplied`: the lead wrote last, and it is not CLOSED."""

    id: UUID
    lead_id: UUID
    lead: LeadOut
    channel: Channel
    status: ConversationStatus
    assigned_agent_id: UUID | None
    assigned_agent: AgentOut | None
    message_count: int
    unread_count: int
    unreplied: bool
    last_message: MessageOut | None
    last_message_at: UtcTime | None
    last_message_sender_type: SenderType | None
    last_agent_reply_at: UtcTime | None
    ai_summary: str | None
    ai_priority: Priority | None
    ai_tags: list[str]
    ai_updated_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime


class ConversationList(Out):
    data: list[ConversationOut]
    meta: CursorMeta


class MessageList(Out):
    data: list[MessageOut]
    meta: CursorMeta


class AnalysisAccepted(Out):
    """The analysis will run at once; follow `Location`."""

    conversation_id: UUID
    task_id: UUID
    status: Literal["processing"] = "processing"


class PriorityBreakdown(Out):
    high: int
    medium: int
    low: int
    unanalyzed: int


class DashboardMetrics(Out):
    """Counts of the conversations that the caller may see, from one snapshot."""

    total_conversations: int
    total_unreplied: int
    priority_breakdown: PriorityBreakdown


def _one_tag(text: str) -> str:
    return text.strip().lower()


Tag = Annotated[str, Field(min_length=1, max_length=30), AfterValidator(_one_tag)]
