"""Shapes of /webhook-endpoints."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, StrictBool, StrictInt
from pydantic_core import PydanticCustomError

from contactship_api.http.schemas import BlankIsNull, CursorMeta, In, Line, NotNull, Out, UtcTime, WrittenTime
from contactship_common.models import DeliveryStatus
from contactship_common.outbound.events import EVENT_TYPES, PING
from contactship_common.outbound.urls import MAX_URL_LENGTH

MAX_OVERLAP_HOURS = 7 * 24

EventType = Literal[EVENT_TYPES]  # type: ignore[valid-type]
DeliveredType = Literal[(*EVENT_TYPES, PING)]  # type: ignore[valid-type]


def _each_once(events: list[str]) -> list[str]:
    if len(set(events)) < len(events):
        raise PydanticCustomError("duplicate_event", "Each event may be named once")
    return events


Url = Annotated[Line, Field(min_length=1, max_length=MAX_URL_LENGTH, examples=["https://example.com/contactship"])]
Events = Annotated[
    list[EventType],
    Field(min_length=1, max_length=len(EVENT_TYPES), examples=[["lead.created", "meeting.classified"]]),
    AfterValidator(_each_once),
]
Description = Annotated[Annotated[Line, Field(max_length=255, examples=["Data warehouse"])] | None, BlankIsNull]


class EndpointCreate(In):
    """`https` only, and to public addresses only; see the reference of webhooks."""

    url: Url
    events: Events
    description: Description = None


class EndpointUpdate(In):
    """Only what is given changes. What waits goes to the new `url`. `active: false` switches the endpoint off, and what
    waits has failed; `active: true` switches it on again, whatever had disabled it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": True}]})

    url: Annotated[Url | None, NotNull] = None
    events: Annotated[Events | None, NotNull] = None
    description: Description = None
    active: Annotated[StrictBool | None, NotNull] = None


class Rotation(In):
    """For `overlapHours` both secrets sign; 0 ends the old one at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"overlapHours": 24}]})

    overlap_hours: StrictInt = Field(default=24, ge=0, le=MAX_OVERLAP_HOURS)


class RedeliverFailed(In):
    since: Annotated[AwareDatetime, WrittenTime] = Field(examples=["2026-11-21T09:30:00Z"])


class EndpointOut(Out):
    """`failingSince`: nothing has succeeded since then; five days of it disable the endpoint. `disabledReason` is
    `failing`, `gone` (it answered 410) or `by_hand`. `previousSecretUntil`: until then the old secret signs too."""

    id: UUID
    url: str
    description: str | None
    events: list[str]
    active: bool
    failing_since: UtcTime | None
    disabled_at: UtcTime | None
    disabled_reason: Literal["failing", "gone", "by_hand"] | None
    previous_secret_until: UtcTime | None
    created_by: str | None
    created_at: UtcTime
    updated_at: UtcTime


class EndpointWithSecret(EndpointOut):
    """`secret` is shown here and never again."""

    secret: str = Field(examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"])


class EndpointList(Out):
    data: list[EndpointOut]


class DeliveryOut(Out):
    """`messageId` is the `webhook-id`. `lastError` is null once an attempt has succeeded, and where none was made."""

    id: UUID
    message_id: str
    event_type: str
    url: str
    status: DeliveryStatus
    attempts: int
    last_status_code: int | None
    last_error: str | None
    last_attempt_at: UtcTime | None
    created_at: UtcTime
    finished_at: UtcTime | None


class DeliveryPage(Out):
    data: list[DeliveryOut]
    meta: CursorMeta


class AttemptOut(Out):
    """`durationMs` and `error` are both null while it is being made."""

    number: int
    started_at: UtcTime
    duration_ms: int | None
    status_code: int | None
    error: str | None


class DeliveryDetail(DeliveryOut):
    """`payload` is what every attempt sends; the newest 100 attempts, in their order."""

    payload: dict[str, Any]
    attempt_log: list[AttemptOut]


class Redelivery(Out):
    task_id: UUID
    delivery_id: UUID
    status: Literal["processing"] = "processing"


class Redeliveries(Out):
    """How many failed deliveries wait for a new attempt since now."""

    queued: int
