"""The span of time that the list and the metrics take, and the zone that its days are in."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from fastapi import Query

from contactship_api.http.problems import Invalid

_LONGEST = 40
_EXAMPLES = ["2026-03-01", "2026-03-01T09:30:00Z"]
_FROM = "From this day or moment; a day is one of UTC, or of `tz` where there is one."
_TO = "To this day, the whole of which counts, or before this moment."
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _moment(alias: str, about: str) -> object:
    return Query(alias=alias, max_length=_LONGEST, examples=_EXAMPLES, description=about)


DateFrom = Annotated[str | None, _moment("dateFrom", _FROM)]
DateTo = Annotated[str | None, _moment("dateTo", _TO)]
From = Annotated[str | None, _moment("from", _FROM + " Without it, seven days before the end.")]
To = Annotated[str | None, _moment("to", _TO + " Without it, now.")]
Tz = Annotated[
    str,
    Query(
        max_length=64,
        description="IANA time zone by which days and hours are told.",
        examples=["America/Argentina/Buenos_Aires"],
    ),
]


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _invalid(name: str, message: str, code: str) -> Invalid:
    return Invalid([{"path": f"query.{name}", "message": message, "code": code}])


def zone_of(name: str) -> tzinfo:
    """
    Raises:
        Invalid: there is no such zone.
    """
    if name in ("", "UTC"):
        return UTC
    if name not in _zones():
        raise _invalid("tz", "Should be the name of an IANA time zone, such as Europe/Madrid", "unknown_time_zone")
    return ZoneInfo(name)


def period(
    given_from: str | None, given_to: str | None, names: tuple[str, str], zone: tzinfo = UTC
) -> tuple[datetime | None, datetime | None]:
    """The half-open span `[since, until)` in UTC; None: open at this end. A day `to` ends when the next one begins.

    Raises:
        Invalid: it is neither a day nor a moment with its zone, or the end is before the beginning.
    """
    since = _read(names[0], given_from, zone, end=False)
    until = _read(names[1], given_to, zone, end=True)
    ends_with_day = _DAY.fullmatch((given_to or "").strip()) is not None
    if since is not None and until is not None and (since > until or (ends_with_day and since == until)):
        raise _invalid(names[0], f"{names[0]} is after {names[1]}", "span_reversed")
    return since, until


def _read(name: str, given: str | None, zone: tzinfo, *, end: bool) -> datetime | None:
    text = (given or "").strip()
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            day = date.fromisoformat(text)
            # The day after, and not 24 hours later: a day may have 23 or 25.
            return datetime.combine(day + timedelta(days=1) if end else day, time(), zone).astimezone(UTC)
        moment = datetime.fromisoformat(text) if _DAY.match(text) else None
        # Near the first and the last year there are moments that UTC cannot say.
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    message = "Give a day such as 2026-03-01, or a time with its zone such as 2026-03-01T09:30:00Z"
    raise _invalid(name, message, "datetime_parsing")
