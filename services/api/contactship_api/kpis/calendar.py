"""Days, weeks, months of a time zone as instants. PostgreSQL only ever compares instants, so that no answer depends on
whether its time-zone data are as old as Python's."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from uuid import UUID

from contactship_api.kpis.errors import TooManyBuckets

MAX_BUCKETS = 5_000
"""Thirteen years of days."""

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
_ONE_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)


class Period(StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


def day_begins(day: date, zone: tzinfo) -> datetime:
    """The first instant of a day; where clocks skip midnight, that is the moment they do."""
    try:
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return EARLIEST if day.year == 1 else LATEST


def day_ends(day: date, zone: tzinfo) -> datetime:
    """The first instant after a day."""
    return LATEST if day == date.max else day_begins(day + _ONE_DAY, zone)


def after(moment: datetime) -> datetime:
    """The next instant, so that "up to and with" becomes "before"."""
    return moment if moment >= LATEST else moment + _INSTANT


def day_of(moment: datetime, zone: tzinfo) -> date:
    try:
        return moment.astimezone(zone).date()
    except OverflowError:
        return moment.date()


def _months_later(first: date, months: int) -> date | None:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, 1) if 1 <= year <= date.max.year else None


def _days_later(day: date, days: int) -> date | None:
    return day + timedelta(days=days) if days <= (date.max - day).days else None


@dataclass(frozen=True, slots=True)
class _Kind:
    first_day: Callable[[date], date]
    following: Callable[[date], date | None]
    label: Callable[[date], str]


def _iso_week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year:04}-W{week:02}"


def _monday(day: date) -> date:
    return date.min + timedelta(days=(day - date.min).days // 7 * 7)  # 0001-01-01 is a Monday


_KINDS = {
    Period.DAILY: _Kind(lambda d: d, lambda d: _days_later(d, 1), date.isoformat),
    Period.WEEKLY: _Kind(_monday, lambda d: _days_later(d, 7), _iso_week),
    Period.MONTHLY: _Kind(lambda d: d.replace(day=1), lambda d: _months_later(d, 1), lambda d: d.isoformat()[:7]),
    Period.QUARTERLY: _Kind(
        lambda d: date(d.year, (d.month - 1) // 3 * 3 + 1, 1),
        lambda d: _months_later(d, 3),
        lambda d: f"{d.year:04}Q{(d.month + 2) // 3}",
    ),
    Period.YEARLY: _Kind(lambda d: date(d.year, 1, 1), lambda d: _months_later(d, 12), lambda d: f"{d.year:04}"),
}


@dataclass(frozen=True, slots=True)
class Buckets:
    """Periods in order: their labels and the instants at which they begin."""

    labels: list[str]
    starts: list[datetime]

    def index(self, moment: datetime) -> int:
        return bisect_right(self.starts, moment) - 1


def buckets(period: Period, zone: tzinfo, start: datetime, end: datetime) -> Buckets:
    """The periods that have a part in [start, end).

    Raises:
        TooManyBuckets
    """
    found = Buckets([], [])
    if start >= end:
        return found
    kind = _KINDS[period]
    last = day_of(end - _INSTANT, zone)
    day: date | None = kind.first_day(day_of(start, zone))
    while day is not None and day <= last:
        if len(found.labels) == MAX_BUCKETS:
            raise TooManyBuckets
        found.labels.append(kind.label(day))
        found.starts.append(day_begins(day, zone))
        day = kind.following(day)
    return found


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: [start, end) of the meetings' times, open where None; whose meetings; and what "now" is."""

    now: datetime
    zone: tzinfo = UTC
    start: datetime | None = None
    end: datetime | None = None
    seller_id: UUID | None = None

    def month(self, ago: int = 0) -> tuple[datetime, datetime]:
        """The calendar month of now, or so many before it."""
        first = _months_later(day_of(self.now, self.zone).replace(day=1), -ago) or date.min
        following = _months_later(first, 1)
        return day_begins(first, self.zone), day_begins(following, self.zone) if following else LATEST

    def last_week(self) -> tuple[datetime, datetime]:
        """Monday to Sunday of the week before that of now."""
        monday = _monday(day_of(self.now, self.zone))
        return day_begins(monday - timedelta(days=7), self.zone), day_begins(monday, self.zone)
