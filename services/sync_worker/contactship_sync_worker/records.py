"""Checking what sources and their people wrote, one record at a time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from email_validator import EmailNotValidError, validate_email

from contactship_common.lead_intake import NewLead
from contactship_common.leads import normalise_email
from contactship_common.models import LeadSource

_MAX_METADATA_BYTES = 16 * 1024
_MAX_EMAIL = 255
_LIMITS = {
    "first_name": 255, "last_name": 255, "name": 511, "phone": 50, "street": 255, "city": 100, "state": 100,
    "postcode": 32, "country": 100, "nationality": 100, "gender": 20, "picture_url": 2_048, "external_id": 255,
}  # fmt: skip
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_PLAIN_EMAIL = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+"
    r"(?!(?:test|local|localhost|invalid|onion|arpa)$)[a-z]{2,24}"
)
_URL = re.compile(r"https?://[^\s/]+", re.IGNORECASE)


class BadRecord(Exception):
    """A record that cannot become a lead. `message` repeats nothing of it: it may be somebody's data."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(slots=True)
class Checked:
    """A page after checking: `leads` stand at `positions` of the page; `bad` lists position, code and message."""

    leads: list[NewLead] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    bad: list[tuple[int, str, str]] = field(default_factory=list)


def check_all(records: Sequence[dict[str, Any]], synced_at: datetime) -> Checked:
    """Sort records into leads and bad ones; a bad record never stops the others."""
    checked = Checked()
    for position, record in enumerate(records):
        try:
            lead = check(record, synced_at)
        except BadRecord as error:
            checked.bad.append((position, error.code, error.message))
        else:
            checked.leads.append(lead)
            checked.positions.append(position)
    return checked


def check(record: dict[str, Any], synced_at: datetime) -> NewLead:
    """The lead of a record that `pages` has stored.

    Raises:
        BadRecord
    """
    if record.get("problem"):
        raise BadRecord("unreadable", str(record["problem"]))
    texts = {name: _text(name, record.get(name), limit) for name, limit in _LIMITS.items()}
    first, last = texts["first_name"], texts["last_name"]
    if first is None and last is None and texts["name"] is not None:
        first, _, rest = texts["name"].partition(" ")
        last = rest.strip()
        if len(first) > _LIMITS["first_name"] or len(last) > _LIMITS["last_name"]:
            raise BadRecord("too_long", "half of name is longer than 255 characters")
    elif first is None or last is None:
        raise BadRecord("missing", f"{'first' if first is None else 'last'}_name is missing")
    address = {part: texts[part] for part in ("street", "city", "state", "postcode", "country")}
    return NewLead(
        first_name=first,
        last_name=last,
        email=_email(record.get("email")),
        source=LeadSource.EXTERNAL_API.value,
        phone=texts["phone"],
        address=address if any(address.values()) else None,
        date_of_birth=_date(record.get("date_of_birth")),
        nationality=texts["nationality"],
        gender=texts["gender"],
        picture_url=_url(texts["picture_url"]),
        external_id=texts["external_id"],
        metadata=_metadata(record.get("metadata")),
        synced_at=synced_at,
    )


def _text(name: str, value: Any, limit: int) -> str | None:
    """Trimmed text; numbers are texts too (postcodes are told as both)."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadRecord("wrong_type", f"{name} is neither a text nor a number")
    value = value.strip()
    if len(value) > limit:
        raise BadRecord("too_long", f"{name} is longer than {limit} characters")
    if not value.isprintable() and _CONTROL.search(value):
        raise BadRecord("control_character", f"{name} holds control characters")
    return value or None


def _email(value: Any) -> str:
    if value is None or value == "":
        raise BadRecord("missing", "email is missing")
    if not isinstance(value, str):
        raise BadRecord("wrong_type", "email is not a text")
    email = normalise_email(value)
    if len(email) > _MAX_EMAIL:
        raise BadRecord("too_long", f"email is longer than {_MAX_EMAIL} characters")
    if _PLAIN_EMAIL.fullmatch(email) and "--" not in email:
        return email  # nearly all; asking the library about each would cost as much as storing the lead
    try:
        # As the API does it. Lower case again: the library brings international characters into their normal form.
        return normalise_email(validate_email(email, check_deliverability=False).normalized)
    except EmailNotValidError:
        raise BadRecord("bad_email", "email is not an e-mail address") from None


def _date(value: Any) -> date | None:
    if value is None or value == "":
        return None
    try:
        found = date.fromisoformat(value[:10]) if len(value) == 10 else datetime.fromisoformat(value).date()
    except (TypeError, ValueError):
        raise BadRecord("bad_date", "date_of_birth is not an ISO 8601 date") from None
    if found > datetime.now(UTC).date() + timedelta(days=1):
        raise BadRecord("date_in_future", "date_of_birth lies in the future")
    return found


def _url(value: str | None) -> str | None:
    if value is not None and not _URL.match(value):
        raise BadRecord("bad_url", "picture_url is not an http or https address")
    return value


def _metadata(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadRecord("wrong_type", "metadata is not an object")
    if len(orjson.dumps(value)) > _MAX_METADATA_BYTES:
        raise BadRecord("too_long", "metadata is longer than 16 KiB")
    return value
