"""Shapes of /meetings."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from contactship_api.http.schemas import (
    BlankIsNull,
    In,
    NotNull,
    Out,
    PageMeta,
    Text,
    UtcTime,
    WrittenTime,
)
from contactship_common.models import MeetingStatus

MAX_TRANSCRIPT_CHARACTERS = 200_000
MAX_DURATION_MINUTES = 1_440
_SOME_ID = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"
_ANOTHER_ID = "01932d5c-9b1c-7d52-8c40-5e6f7a8b9c0d"


def _no_truth(value: Any) -> Any:
    """Pydantic takes true for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Should be a number of minutes")
    return value


def _sayable(value: datetime) -> datetime:
    """UTC has years 1 to 9999; a time at their edges with a zone may lie outside."""
    if not 1900 <= value.year <= 9000:
        raise PydanticCustomError("datetime_out_of_range", "Give a time between the years 1900 and 9000")
    return value


MeetingAt = Annotated[AwareDatetime, WrittenTime, AfterValidator(_sayable), Field(examples=["2026-03-10T15:00:00Z"])]
Duration = Annotated[
    Annotated[int, Field(ge=1, le=MAX_DURATION_MINUTES), BeforeValidator(_no_truth)] | None, BlankIsNull
]
Transcript = Annotated[Annotated[Text, Field(max_length=MAX_TRANSCRIPT_CHARACTERS)] | None, BlankIsNull]


class MeetingFields(In):
    duration_minutes: Duration = None
    transcript: Transcript = None


def _agreeing(status: MeetingStatus | None, closed: bool | None) -> None:
    if status is not None and closed is not None and closed != (status == MeetingStatus.CLOSED):
        raise PydanticCustomError("status_contradicts_closed", "status and closed say different things")


class MeetingCreate(MeetingFields):
    """`closed` is true exactly when `status` is `closed`; give either, or neither for an open meeting."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "clientId": _SOME_ID,
                    "sellerId": _ANOTHER_ID,
                    "meetingAt": "2026-03-10T15:00:00Z",
                    "durationMinutes": 45,
                    "transcript": "Vendedor: Buenas tardes…",
                }
            ]
        }
    )

    client_id: UUID
    seller_id: UUID
    meeting_at: MeetingAt
    status: Annotated[MeetingStatus | None, BlankIsNull] = None
    closed: Annotated[StrictBool | None, BlankIsNull] = None

    @model_validator(mode="after")
    def _agrees(self) -> "MeetingCreate":
        _agreeing(self.status, self.closed)
        return self


class MeetingUpdate(MeetingFields):
    """Only what is given changes. `closed: false` opens a closed meeting again and leaves a cancelled one alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "cancelled"}, {"durationMinutes": 30}]})

    client_id: Annotated[UUID | None, NotNull] = None
    seller_id: Annotated[UUID | None, NotNull] = None
    meeting_at: Annotated[MeetingAt | None, NotNull] = None
    status: Annotated[MeetingStatus | None, NotNull] = None
    closed: Annotated[StrictBool | None, NotNull] = None

    @model_validator(mode="after")
    def _agrees(self) -> "MeetingUpdate":
        _agreeing(self.status, self.closed)
        return self


class ClientOfMeeting(Out):
    id: UUID
    name: str
    email: str | None
    phone: str | None
    company: str | None
    lead_id: UUID | None


class SellerOfMeeting(Out):
    id: UUID
    name: str
    email: str
    active: bool


class _MeetingShown(Out):
    id: UUID
    client_id: UUID
    seller_id: UUID
    client: ClientOfMeeting
    seller: SellerOfMeeting
    meeting_at: UtcTime
    duration_minutes: int | None
    status: MeetingStatus
    closed: bool
    classified: bool
    created_at: UtcTime
    updated_at: UtcTime


class MeetingOut(_MeetingShown):
    """A meeting with its client and seller. `classified`: there is a current classification."""

    transcript: str | None


class MeetingInList(_MeetingShown):
    """The same in a list, with the first 200 characters of the transcript instead of all of it."""

    transcript_preview: str | None


class MeetingPage(Out):
    data: list[MeetingInList]
    meta: PageMeta
