"""The parameters that all KPIs share, from their texts to a `Question`."""

import re
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Depends, Query

from contactship_api.http.problems import Invalid
from contactship_api.kpis.calendar import EARLIEST, LATEST, Question, after, day_begins, day_ends
from contactship_api.kpis.errors import RangeReversed

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)?")
_LONGEST = 40

_ABOUT = "A date (`2024-03-15`: its {part} day in `tz`) or a time (`2024-03-15T09:30:00Z`; without a zone, in `tz`)."
_Text = Annotated[str | None, Query(max_length=_LONGEST)]
From = Annotated[
    str | None,
    Query(alias="from", max_length=_LONGEST, description="Meetings from here on. " + _ABOUT.format(part="whole")),
]
To = Annotated[
    str | None,
    Query(alias="to", max_length=_LONGEST, description="Meetings up to and with this. " + _ABOUT.format(part="whole")),
]
StartDate = Annotated[str | None, Query(alias="startDate", max_length=_LONGEST, description="Another name for `from`.")]
EndDate = Annotated[str | None, Query(alias="endDate", max_length=_LONGEST, description="Another name for `to`.")]
Tz = Annotated[
    str,
    Query(
        max_length=64,
        description="IANA time zone by which days, weeks and months are told.",
        examples=["America/Argentina/Buenos_Aires"],
    ),
]
SellerId = Annotated[UUID | None, Query(alias="sellerId", description="Only this seller's meetings.")]


# Files beside the zones: this machine's own zone, and the one of a machine that was never told its place.
_NO_PLACES = frozenset({"localtime", "Factory"})


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_PLACES


def _invalid(name: str, message: str, code: str) -> Invalid:
    return Invalid([{"path": f"query.{name}", "message": message, "code": code}])


def _zone(name: str) -> tzinfo:
    if name in ("UTC", ""):
        return UTC
    if name not in _zones():
        raise _invalid("tz", "Should be the name of an IANA time zone, such as Europe/Madrid", "unknown_time_zone")
    return ZoneInfo(name)


def _one_of(name: str, value: str | None, synonym: str, other: str | None) -> tuple[str, str | None]:
    """The name and value that was given. Blank, as HTML forms send it, is nothing."""
    value, other = (text.strip() or None if text else None for text in (value, other))
    if value and other and value != other:
        raise _invalid(synonym, f"{synonym} and {name} differ", "conflicting_synonyms")
    return (synonym, other) if other and not value else (name, value)


def _moment(name: str, text: str, zone: tzinfo) -> date | datetime:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
        if _TIME.fullmatch(text):
            moment = datetime.fromisoformat(text.upper())
            return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    except ValueError:
        pass
    raise _invalid(name, "Should be a date such as 2024-03-15 or a time such as 2024-03-15T09:30:00Z", "date_parsing")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return EARLIEST if moment.year == 1 else LATEST


def question(
    from_: From = None,
    to: To = None,
    start_date: StartDate = None,
    end_date: EndDate = None,
    tz: Tz = "UTC",
    seller_id: SellerId = None,
) -> Question:
    """
    Raises:
        Invalid: a value cannot be read, or two names of one parameter differ.
        RangeReversed: `from` lies after `to`.
    """
    zone = _zone(tz)
    start = end = last = None
    name, text = _one_of("from", from_, "startDate", start_date)
    if text:
        given = _moment(name, text, zone)
        start = _in_utc(given) if isinstance(given, datetime) else day_begins(given, zone)
    name, text = _one_of("to", to, "endDate", end_date)
    if text:
        given = _moment(name, text, zone)
        last = _in_utc(given) if isinstance(given, datetime) else day_begins(given, zone)
        end = after(last) if isinstance(given, datetime) else day_ends(given, zone)
    # A day that a zone skipped (Apia, 2011-12-30) begins when it ends; asking for it is no mistake.
    if start is not None and last is not None and end is not None and start >= end and start > last:
        raise RangeReversed
    return Question(datetime.now(UTC), zone, start, end, seller_id)


Asked = Annotated[Question, Depends(question)]
