"""From the cells of one row to a lead, or to the reason why not. The same limits as `POST /leads`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson
from email_validator import EmailNotValidError, validate_email

from contactship_common.lead_csv.formulas import restore
from contactship_common.lead_csv.headers import METADATA, Column, plain
from contactship_common.lead_intake import NewLead
from contactship_common.leads import normalise_email
from contactship_common.models import LeadSource, LeadStatus

MAX_METADATA_BYTES = 16 * 1024
_LONGEST_EMAIL = 255
_LONGEST = {
    "first_name": 255, "last_name": 255, "name": 511, "phone": 50, "street": 255, "city": 100, "state": 100,
    "postcode": 32, "country": 100, "date_of_birth": 40, "nationality": 100, "gender": 20, "picture_url": 2_048,
    "status": 40, "external_id": 255, "email": 2_048,
}  # fmt: skip
_ADDRESS = ("street", "city", "state", "postcode", "country")

_SPACES = re.compile(r"[\t\r\n\v\f]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PLAIN_EMAIL = re.compile(r"[a-z0-9_%+'-]{1,64}(?:\.[a-z0-9_%+'-]{1,64})*@([a-z0-9-]+(?:\.[a-z0-9-]+)+)")
_LONGEST_LOCAL_PART = 64
_LONGEST_PLAIN_EMAIL = 200
_DAY_FIRST = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")

_STATUSES = {status.value: status.value for status in LeadStatus} | {
    "nuevo": "new", "contactado": "contacted", "calificado": "qualified", "cualificado": "qualified",
    "convertido": "converted", "ganado": "converted", "perdido": "lost",
}  # fmt: skip


class RowRefused(Exception):
    """Why a row is not imported. `message` names fields and limits, never values."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class RowError:
    """`row_number` counts as a spreadsheet does, the header being row 1."""

    row_number: int
    code: str
    message: str


def is_blank(cells: Sequence[str]) -> bool:
    return not any(cells) or not any(cell.strip() for cell in cells)


def to_lead(cells: list[str], columns: Sequence[Column]) -> NewLead:
    """
    Raises:
        RowRefused
    """
    if len(cells) != len(columns):
        cells = _fit(cells, len(columns))
    # Most rows have no control character at all: one search over the row instead of one a cell.
    suspicious = _CONTROL.search("".join(cells)) is not None
    fields: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    for cell, column in zip(cells, columns, strict=True):
        text = restore(cell.strip()) if cell else ""
        target = column.target
        if not text or target is None:
            continue
        if target.startswith(METADATA):
            if suspicious and _CONTROL_BUT_LINES.search(text):
                raise RowRefused("control_character", "metadata: control characters are not accepted")
            _keep(metadata, column, text)
            continue
        if line := _line(target, text, suspicious=suspicious):
            fields[target] = line
    first, last = _names(fields)
    email = check_email(fields.get("email", ""))
    if metadata:
        _check_size(metadata)
    return NewLead(
        first_name=first,
        last_name=last,
        email=email,
        source=LeadSource.CSV,
        status=_converted(fields, "status", _status) or LeadStatus.NEW,
        phone=fields.get("phone"),
        address={part: fields[part] for part in _ADDRESS if part in fields} or None,
        date_of_birth=_converted(fields, "date_of_birth", _date),
        nationality=fields.get("nationality"),
        gender=fields.get("gender"),
        picture_url=_converted(fields, "picture_url", _url),
        external_id=fields.get("external_id"),
        metadata=metadata or None,
    )


def _fit(cells: list[str], width: int) -> list[str]:
    """Empty cells too many do not matter; anything else means that values may be in the wrong columns."""
    if len(cells) > width and is_blank(cells[width:]):
        return cells[:width]
    raise RowRefused("wrong_column_count", f"{len(cells)} columns where the header has {width}")


def _line(target: str, text: str, *, suspicious: bool) -> str:
    if suspicious:
        text = _SPACES.sub(" ", text).strip()
        if _CONTROL.search(text):
            raise RowRefused("control_character", f"{target}: control characters are not accepted")
    if len(text) > _LONGEST[target]:
        raise RowRefused("too_long", f"{target}: longer than {_LONGEST[target]} characters")
    return text


def _keep(metadata: dict[str, Any], column: Column, text: str) -> None:
    """A column called metadata, as our export writes it, holds a JSON object; any other column its text."""
    _, _, key = (column.target or "").partition(".")
    if not key and plain(column.name) in ("metadata", "metadatos") and text.startswith("{"):
        if "\\u0000" in text:
            raise RowRefused("control_character", "metadata: control characters are not accepted")
        try:
            metadata.update(orjson.loads(text))
            return
        except orjson.JSONDecodeError:
            pass  # a text that begins with a brace, kept as it is
    metadata[key or column.name] = text


def _check_size(metadata: dict[str, Any]) -> None:
    try:
        # Some levels are left for what it is stored in.
        size = len(orjson.dumps([[[[metadata]]]]))
    except TypeError:
        raise RowRefused("metadata_too_deep", "metadata: nested too deeply") from None
    if size > MAX_METADATA_BYTES:
        raise RowRefused("metadata_too_large", "the columns kept as metadata exceed 16 KiB")


def _names(fields: dict[str, str]) -> tuple[str, str]:
    first, last = fields.get("first_name", ""), fields.get("last_name", "")
    if not first and "name" in fields:
        first, _, rest = fields["name"].partition(" ")
        last = last or rest.strip()
    if not first:
        raise RowRefused("name_missing", "a first name, or a name, is required")
    if len(first) > _LONGEST["first_name"] or len(last) > _LONGEST["last_name"]:
        raise RowRefused("too_long", "name: each half may have 255 characters")
    return first, last


def check_email(text: str) -> str:
    """The normalised e-mail.

    Raises:
        RowRefused
    """
    if not text:
        raise RowRefused("email_missing", "an e-mail is required")
    email = normalise_email(text)
    match = _PLAIN_EMAIL.fullmatch(email) if len(email) <= _LONGEST_PLAIN_EMAIL else None
    if match is not None and match.start(1) - 1 <= _LONGEST_LOCAL_PART:
        # Nothing can be wrong with it but the domain, and a file has few of those: a fortieth of the time.
        if _domain_is_valid(match[1]):
            return email
        raise RowRefused("email_invalid", "this is not an e-mail address")
    try:
        email = validate_email(email, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        raise RowRefused("email_invalid", "this is not an e-mail address") from None
    if len(email) > _LONGEST_EMAIL:
        raise RowRefused("too_long", f"email: longer than {_LONGEST_EMAIL} characters")
    return email


@lru_cache(maxsize=4_096)
def _domain_is_valid(domain: str) -> bool:
    try:
        return validate_email(f"a@{domain}", check_deliverability=False).normalized == f"a@{domain}"
    except EmailNotValidError:
        return False


def _converted(fields: dict[str, str], name: str, convert: Callable[[str], Any]) -> Any:
    return convert(fields[name]) if name in fields else None


def _status(text: str) -> str:
    status = _STATUSES.get(plain(text))
    if status is None:
        raise RowRefused("status_unknown", f"status: one of {', '.join(LeadStatus)}")
    return status


def _day_last(match: re.Match[str]) -> str:
    return f"{match[3]}-{match[2]:0>2}-{match[1]:0>2}"


def _date(text: str) -> date:
    """ISO 8601, or day first with four digits of the year (17/08/1990)."""
    try:
        written = _DAY_FIRST.sub(_day_last, text) if _DAY_FIRST.fullmatch(text) else text
        day = datetime.fromisoformat(written).date()
    except ValueError:
        raise RowRefused("date_invalid", "date_of_birth: write 1990-08-17 or 17/08/1990") from None
    # A day's grace: somewhere on earth it is tomorrow already.
    if day > datetime.now(UTC).date() + timedelta(days=1):
        raise RowRefused("date_in_future", "date_of_birth: lies in the future")
    return day


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise RowRefused("url_invalid", "picture_url: must be an http or https address")
    return text
