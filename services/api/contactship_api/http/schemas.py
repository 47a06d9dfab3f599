"""Building blocks for API shapes: camelCase out, camelCase or snake_case in, and texts that are safe to keep."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from contactship_common.leads import normalise_email

# C0 and C1 control characters, and the bidirectional overrides that make a text read other than it is stored.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# The same, but for line feed and tab.
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d")


class In(BaseModel):
    """A body that a client sends. Unknown fields are refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", str_strip_whitespace=True
    )


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)

    def json_bytes(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


def _no_control(text: str) -> str:
    if _CONTROL.search(text):
        raise PydanticCustomError("control_character", "Control characters are not accepted")
    return text


def _plain_text(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if _CONTROL_IN_TEXT.search(text):
        raise PydanticCustomError("control_character", "Control characters other than line feed and tab are refused")
    return text


def _trimmed(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null_not_allowed", "This field cannot be emptied")
    return value


def _blank_is_null(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _written_time(value: Any) -> Any:
    if value is None or isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise PydanticCustomError("datetime_parsing", "Should be a time such as 2026-11-21T09:30:00Z")


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PydanticCustomError("url_not_http", "Must be an http or https address")
    return text


Line = Annotated[str, AfterValidator(_no_control)]
"""Text on one line: no control characters."""


Text = Annotated[str, AfterValidator(_plain_text)]
"""Text on several lines: line feeds and tabs, no other control characters. CR LF becomes LF."""

BlankIsNull = BeforeValidator(_blank_is_null)
"""HTML forms send empty fields as ""; they mean null."""

NotNull = BeforeValidator(_not_null)
"""In a change: may be left out, but not emptied."""

Email = Annotated[EmailStr, BeforeValidator(_trimmed), AfterValidator(normalise_email), Field(max_length=255)]
"""An e-mail address as it is stored: trimmed, lower case."""

Name = Annotated[Line, Field(min_length=1, max_length=255)]
Phone = Annotated[Annotated[Line, Field(max_length=50)] | None, BlankIsNull]

WebUrl = Annotated[Line, Field(max_length=2_048, json_schema_extra={"format": "uri"}), AfterValidator(_http_url)]
"""An http or https address."""

WrittenTime = BeforeValidator(_written_time)
"""Times are ISO 8601 texts; Pydantic would also take a number of seconds."""

UtcTime = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
"""A time, shown in UTC with `Z`."""


class PageMeta(Out):
    """Where a page stands in its list. Past 100,000 rows `total` may be an estimate, and then says so."""

    total: int
    page: int
    take: int
    total_pages: int
    total_is_estimate: bool = False


class CursorMeta(Out):
    """How to go on: pass `nextCursor` as `cursor`."""

    next_cursor: str | None
    has_next_page: bool
