"""Reading what strangers send: every value is looked at for its type, and fits its column whatever it was."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

LONGEST_TEXT = 65_536
LONGEST_TRANSCRIPT = 1_000_000
LONGEST_URL = 2_048
_LONGEST_NUMBER = 2**31 - 1

# NUL cannot be stored, and lone surrogates cannot even be sent to the database.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_FIRST_YEAR, _LAST_YEAR = 2000, 2100
_MILLISECONDS_FROM = 100_000_000_000
_MICROSECONDS_FROM = 100_000_000_000_000


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot keep."""
    return _UNSTORABLE.sub("", text)


def at(data: Any, path: str) -> Any:
    """The value at `a.b.c`; None if there is none on the way. A key that is spelled `a.b` itself counts too."""
    if isinstance(data, Mapping) and path in data:
        return data[path]
    for name in path.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(name)
    return data


def found(data: Any, *paths: str) -> Iterator[Any]:
    """Whatever stands at these paths and says something, in their order."""
    for path in paths:
        value = at(data, path)
        if value is not None and value != "":
            yield value


def text(value: Any, longest: int = 255) -> str | None:
    """A text or a number as text, trimmed and cut; None for everything else and for nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else value
    return storable(str(value))[: longest * 2].strip()[:longest] or None


def first_text(data: Any, *paths: str, longest: int = 255) -> str | None:
    """The first of these that is a text."""
    return next((told for value in found(data, *paths) if (told := text(value, longest))), None)


def mapping(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def url(value: Any) -> str | None:
    """An http(s) URL that fits its column; a cut one would be another one."""
    told = text(value, LONGEST_URL + 1)
    if told is None or len(told) > LONGEST_URL or not told.lower().startswith(("http://", "https://")):
        return None
    return told


def moment(value: Any) -> datetime | None:
    """A time in seconds, milliseconds or microseconds since 1970, or ISO 8601 (UTC if it does not say). Nonsense and
    what lies outside this century: None."""
    if isinstance(value, Mapping):
        value = value.get("low")  # a 64-bit number in two halves, as some serialisers write it
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        try:
            value = float(value)
        except ValueError:
            return _from_iso(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    seconds = float(value)
    if abs(seconds) >= _MICROSECONDS_FROM:
        seconds /= 1_000_000
    elif abs(seconds) >= _MILLISECONDS_FROM:
        seconds /= 1_000
    try:
        return _in_this_century(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, OSError, ValueError):
        return None


def first_moment(data: Any, *paths: str) -> datetime | None:
    """The first of these that is a time."""
    return next((told for value in found(data, *paths) if (told := moment(value))), None)


def _from_iso(written: str) -> datetime | None:
    try:
        told = datetime.fromisoformat(written[:64])
        return _in_this_century(told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC))
    except (OverflowError, ValueError):
        return None


def _in_this_century(told: datetime) -> datetime | None:
    return told if _FIRST_YEAR <= told.year < _LAST_YEAR else None


def whole_seconds(value: Any) -> int | None:
    """A length of time in whole seconds; negative, absurd or no number: None."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return int(number) if 0 <= number <= _LONGEST_NUMBER else None
