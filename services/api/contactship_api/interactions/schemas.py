"""Shapes of /interactions. Personal data in them are masked unless the answer says otherwise."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from contactship_api.http.schemas import BlankIsNull, CursorMeta, In, Line, NotNull, Out, UtcTime
from contactship_common.conversations.shapes import MessageOut
from contactship_common.models import (
    Direction,
    InteractionChannel,
    InteractionStatus,
    OtpPurpose,
    OtpStatus,
    Outcome,
    Provider,
)


class InteractionOut(Out):
    """One call, or one stretch of messages. `durationSec`: of the call as its provider said, else from start to end.
    `personalData` says whether phones, e-mails, ids, cards and codes are masked in this answer."""

    id: UUID
    channel: InteractionChannel
    direction: Direction
    status: InteractionStatus
    started_at: UtcTime
    ended_at: UtcTime | None
    duration_sec: int | None
    from_number: str | None
    to_number: str | None
    customer_phone: str | None
    customer_ref: str | None
    queue: str | None
    assigned_agent: str | None
    ai_handled: bool
    outcome: Outcome | None
    intent: str | None
    provider: Provider
    provider_conversation_id: str | None
    lead_id: UUID | None
    conversation_id: UUID | None
    summary: str | None
    has_transcript: bool
    personal_data: Literal["masked", "clear"]
    created_at: UtcTime
    updated_at: UtcTime


class InteractionList(Out):
    data: list[InteractionOut]
    meta: CursorMeta


class EventOut(Out):
    """What a provider told. `raw` and `normalized` are null where they are very large, or repeat a conversation that
    the caller may not see."""

    id: UUID
    type: str
    provider: Provider
    provider_event_id: str | None
    raw: Any
    normalized: dict[str, Any] | None
    occurred_at: UtcTime | None
    created_at: UtcTime


class CallDetailOut(Out):
    recording_url: str | None
    transcript_text: str | None
    transcript_id: str | None
    summary: str | None
    duration_sec: int | None
    hangup_reason: str | None
    updated_at: UtcTime


class OtpChallengeOut(Out):
    """A code that was asked for; neither the code nor what it is made from is ever shown."""

    id: UUID
    phone: str | None
    purpose: OtpPurpose
    status: OtpStatus
    correlation_id: str | None
    expires_at: UtcTime
    verified_at: UtcTime | None
    created_at: UtcTime


class InteractionDelivery(Out):
    """One sending; `state` UNKNOWN: the provider's answer never came."""

    id: UUID
    message_id: UUID | None
    otp_challenge_id: UUID | None
    channel: InteractionChannel
    to: str | None
    state: str
    provider: Provider | None
    provider_message_id: str | None
    provider_status: str | None
    error_code: str | None
    error_message: str | None
    sending_at: UtcTime | None
    sent_at: UtcTime | None
    delivered_at: UtcTime | None
    read_at: UtcTime | None
    failed_at: UtcTime | None
    created_at: UtcTime


class InteractionDetail(InteractionOut):
    """An interaction with what belongs to it: the first 200 events, the newest 200 messages, oldest first; the rest of
    the messages is in the conversation. Agents get the messages of conversations they may see; `messagesWithheld`
    says that there is a conversation they may not see."""

    events: list[EventOut]
    more_events: bool
    messages: list[MessageOut]
    more_messages: bool
    messages_withheld: bool
    call_detail: CallDetailOut | None
    otp_challenges: list[OtpChallengeOut]
    deliveries: list[InteractionDelivery]


def _not_masked(text: str | None) -> str | None:
    if text is not None and "***" in text:
        raise PydanticCustomError("masked_value", "This is a masked value; it would replace the real one")
    return text


_Note255 = Annotated[Annotated[Line, Field(max_length=255)] | None, BlankIsNull, AfterValidator(_not_masked)]
_Note500 = Annotated[Annotated[Line, Field(max_length=500)] | None, BlankIsNull, AfterValidator(_not_masked)]


class InteractionUpdate(In):
    """Only what is given changes; null empties a field. A status only goes forward (NEW, IN_PROGRESS, then one of the
    ends, of which one may be corrected to another)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "COMPLETED", "outcome": "RESOLVED", "intent": "billing question"},
                {"assignedAgent": "maria", "queue": "support"},
            ]
        }
    )

    status: Annotated[InteractionStatus | None, NotNull] = None
    outcome: Outcome | None = None
    assigned_agent: _Note255 = None
    queue: _Note255 = None
    intent: _Note500 = None
    customer_ref: _Note255 = None


class CallSummaryAccepted(Out):
    """The summary will be written; follow `Location`."""

    interaction_id: UUID
    task_id: UUID
    status: Literal["processing"] = "processing"
    message: str


class ChannelCount(Out):
    channel: InteractionChannel
    count: int


class ClientView(Out):
    """What is known about a number. `resolvedPercent`: of the interactions that have ended, those with the outcome
    RESOLVED, to one place; 0 of none."""

    phone: str | None
    lead_id: UUID | None
    lead_url: str | None
    total: int
    by_channel: list[ChannelCount]
    inbound: int
    outbound: int
    ended: int
    resolved: int
    resolved_percent: float
    first_contact_at: UtcTime | None
    last_contact_at: UtcTime | None
    last_interaction: InteractionOut | None
