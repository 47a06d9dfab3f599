"""When a vendor says to come back."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

_PROTOBUF_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def header_hint(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After` (seconds or an HTTP date); None if neither makes sense."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def retry_info_hint(details: Any) -> float | None:
    """Seconds to wait by google.rpc.RetryInfo in the error's details; None if there is none."""
    for detail in error_details(details):
        if str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            found = _PROTOBUF_DURATION.fullmatch(str(detail.get("retryDelay", "")))
            if found:
                return float(found[1])
    return None


def error_details(body: Any) -> list[dict[str, Any]]:
    """The typed details of a Google API error body, whatever its shape."""
    error = body.get("error", body) if isinstance(body, dict) else {}
    details = error.get("details") if isinstance(error, dict) else None
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def _number(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", value):
        return None
    return float(value)
