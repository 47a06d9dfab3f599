"""Shapes of /leads."""

import re
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from contactship_api.http.schemas import (
    BlankIsNull,
    CursorMeta,
    Email,
    In,
    Line,
    Name,
    NotNull,
    Out,
    PageMeta,
    Phone,
    UtcTime,
    WebUrl,
)
from contactship_common.models import LeadSource, LeadStatus

MAX_METADATA_BYTES = 16 * 1024
MAX_BATCH = 500
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(T[\d:.]+(Z|[+-]\d{2}:?\d{2})?)?")
_SOME_ID = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


def _small(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is not None and len(orjson.dumps(value)) > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata_too_large", "metadata may not exceed 16 KiB")
    return value


def _not_in_future(value: date | None) -> date | None:
    # A day's grace: somewhere on earth it is tomorrow already.
    if value is not None and value.toordinal() > date.today().toordinal() + 1:  # noqa: DTZ011
        raise PydanticCustomError("date_in_future", "A date of birth lies in the past")
    return value


def _iso_date(value: Any) -> Any:
    """Only ISO 8601 texts: a number would be taken for seconds since 1970. Of a time, the day it names."""
    if value is None or isinstance(value, date):
        return value
    if not isinstance(value, str) or not _ISO_DATE.fullmatch(value.strip()):
        raise PydanticCustomError("date_parsing", "Should be a date such as 1990-05-01")
    return value.strip()[:10]


Short = Annotated[Annotated[Line, Field(max_length=100)] | None, BlankIsNull]
PictureUrl = Annotated[WebUrl | None, BlankIsNull]
DateOfBirth = Annotated[date | None, BeforeValidator(_iso_date), BlankIsNull, AfterValidator(_not_in_future)]
Metadata = Annotated[dict[str, Any] | None, AfterValidator(_small)]


class AddressIn(In):
    street: Annotated[Annotated[Line, Field(max_length=255)] | None, BlankIsNull] = None
    city: Short = None
    state: Short = None
    postcode: Annotated[Annotated[Line, Field(max_length=32)] | None, BlankIsNull] = None
    country: Short = None


class LeadFields(In):
    """What create and change have in common; everything here may be left out."""

    phone: Phone = None
    address: AddressIn | None = None
    date_of_birth: DateOfBirth = None
    nationality: Short = None
    gender: Annotated[Annotated[Line, Field(max_length=20)] | None, BlankIsNull] = None
    picture_url: PictureUrl = None
    external_id: Annotated[Annotated[Line, Field(max_length=255)] | None, BlankIsNull] = None
    owner_id: UUID | None = None
    metadata: Metadata = None


def split_name(name: str) -> tuple[str, str]:
    """First and last name, split at the first space; a single word is a first name."""
    first, _, last = name.partition(" ")
    if len(first) > 255 or len(last) > 255:
        raise PydanticCustomError("string_too_long", "Each half of name may have 255 characters")
    return first, last.strip()


class LeadCreate(LeadFields):
    """`firstName` and `lastName`, or `name`, which is split at its first space."""

    first_name: Name | None = Field(default=None, examples=["Ana"])
    last_name: Name | None = Field(default=None, examples=["García"])
    name: Annotated[Line, Field(max_length=511)] | None = None
    email: Email = Field(examples=["ana@example.com"])
    source: LeadSource = LeadSource.MANUAL
    status: LeadStatus = LeadStatus.NEW

    @model_validator(mode="after")
    def _needs_a_name(self) -> "LeadCreate":
        if self.first_name is not None and self.last_name is not None:
            if self.name is not None:
                raise PydanticCustomError("name_twice", "Give firstName and lastName, or name, not both")
            return self
        if self.first_name is not None or self.last_name is not None or not self.name:
            raise PydanticCustomError("name_missing", "Give firstName and lastName, or name")
        self.first_name, self.last_name = split_name(self.name)
        return self


class LeadUpdate(LeadFields):
    """Only what is given changes; null empties a field that may be empty. `address` is merged part by part; `name`
    is split at its first space, as when creating."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "qualified", "phone": "+54 11 3456-7890"}]})

    first_name: Annotated[Name | None, NotNull] = None
    last_name: Annotated[Name | None, NotNull] = None
    name: Annotated[Annotated[Line, Field(min_length=1, max_length=511)] | None, NotNull] = None
    email: Annotated[Email | None, NotNull] = None
    source: Annotated[LeadSource | None, NotNull] = None
    status: Annotated[LeadStatus | None, NotNull] = None

    @model_validator(mode="after")
    def _split(self) -> "LeadUpdate":
        if self.name is None:
            return self
        if self.first_name is not None or self.last_name is not None:
            raise PydanticCustomError("name_twice", "Give firstName and lastName, or name, not both")
        self.first_name, self.last_name = split_name(self.name)
        return self


class AddressOut(Out):
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postcode: str | None = None
    country: str | None = None


class PersonOut(Out):
    id: UUID
    first_name: str
    last_name: str
    phone: str | None
    phone_e164: Annotated[str | None, Field(serialization_alias="phoneE164")]
    address: AddressOut | None
    date_of_birth: date | None
    nationality: str | None
    gender: str | None
    picture_url: str | None


class SummaryError(Out):
    code: str
    message: str


SummaryStatus = Literal["none", "processing", "ready", "failed"]


class LeadOut(Out):
    """A lead with its person. `next_action` repeats `nextAction` for older clients."""

    id: UUID
    person_id: UUID
    name: str
    email: str | None
    external_id: str | None
    source: LeadSource
    status: LeadStatus
    metadata: dict[str, Any] | None
    owner_id: UUID | None
    summary: str | None
    next_action: str | None
    next_action_again: Annotated[str | None, Field(serialization_alias="next_action")]
    summary_status: SummaryStatus
    summary_error: SummaryError | None
    summary_generated_at: UtcTime | None
    synced_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime
    person: PersonOut


class LeadCursorMeta(CursorMeta):
    take: int


class LeadPage(Out):
    data: list[LeadOut]
    meta: PageMeta | LeadCursorMeta


class LeadStatistics(Out):
    total: int
    new: int
    contacted: int
    qualified: int
    converted: int
    lost: int
    by_source: dict[str, int]
    with_summary: int


class SummaryAccepted(Out):
    lead_id: UUID
    task_id: UUID
    status: Literal["processing"] = "processing"
    message: str


class SummaryFilter(In):
    status: LeadStatus | None = None
    source: LeadSource | None = None
    without_summary: StrictBool = False


class SummarizeMany(In):
    """Either `leadIds` or `filter`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"status": "new", "withoutSummary": True}}, {"leadIds": [_SOME_ID]}]}
    )

    lead_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=MAX_BATCH)
    filter: SummaryFilter | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "SummarizeMany":
        if (self.lead_ids is None) == (self.filter is None):
            raise PydanticCustomError("one_of", "Give either leadIds or filter")
        return self


class BatchAccepted(Out):
    """`taskId` is the task that turns a filter into summaries; null where `leadIds` were given."""

    batch_id: UUID
    task_id: UUID | None
    status: Literal["processing"] = "processing"
    queued: int
    already_done: int
    not_found: int
    message: str


class Merge(In):
    into_id: UUID
