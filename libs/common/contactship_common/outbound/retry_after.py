"""What a receiver says about when to come back."""

import time
from email.utils import parsedate_to_datetime


def retry_after_seconds(text: str | None) -> float | None:
    """`Retry-After` in seconds from now, from a number or a date; None if there is none or it cannot be read."""
    text = (text or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        return float(text[:10])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
