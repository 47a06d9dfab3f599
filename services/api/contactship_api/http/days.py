"""Query parameters for a span of time: each end is a day or a moment."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import Query

from contactship_api.http.problems import Invalid

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LONGEST = 40
_EXAMPLES = ["2026-03-01", "2026-03-01T09:30:00Z"]

SpanFrom = Annotated[
    str | None,
    Query(alias="from", max_length=_LONGEST, examples=_EXAMPLES, description="From this day (UTC) or moment."),
]
SpanTo = Annotated[
    str | None,
    Query(
        alias="to",
        max_length=_LONGEST,
        examples=_EXAMPLES,
        description="To this day (UTC), the whole of which counts, or before this moment.",
    ),
]


def span(given_from: str | None, given_to: str | None) -> tuple[datetime | None, datetime | None]:
    """The half-open span `[since, until)`; None: open at this end. A day `to` ends when the next one begins.

    Raises:
        Invalid: it is neither a day nor a moment with its zone, or `from` is after `to`.
    """
    since, until = _moment("from", given_from, end=False), _moment("to", given_to, end=True)
    # A day `to` has become the day after: `from` may not even be equal to that.
    ends_with_day = _DAY.fullmatch((given_to or "").strip()) is not None
    if since is not None and until is not None and (since > until or (ends_with_day and since == until)):
        raise Invalid([{"path": "query.from", "message": "from is after to", "code": "span_reversed"}])
    return since, until


def _moment(name: str, given: str | None, *, end: bool) -> datetime | None:
    text = (given or "").strip()
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            day = datetime.combine(date.fromisoformat(text), time(), UTC)
            return day + timedelta(days=1) if end else day
        moment = datetime.fromisoformat(text) if _DAY.match(text) else None
        # Near the first and the last year there are moments that UTC cannot say.
        if moment is not None and moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    message = "Give a day such as 2026-03-01, or a time with its zone such as 2026-03-01T09:30:00Z"
    raise Invalid([{"path": f"query.{name}", "message": message, "code": "datetime_parsing"}])
