"""Pages between the fetch and the database: JSON text, in pieces of a bounded number of people."""

from collections.abc import Sequence
from typing import Any

import orjson

from contactship_sync_worker.sources.base import ExternalLead

ROWS_A_PAGE = 5_000
"""A source may answer with more than it was asked for; one transaction takes in at most so many."""

_NUL = b"\\u0000"


def encoded(leads: Sequence[ExternalLead]) -> list[str]:
    """The pages as they are stored; at least one, even if it is empty."""
    return [_encode(leads[start : start + ROWS_A_PAGE]) for start in range(0, max(len(leads), 1), ROWS_A_PAGE)]


def decoded(text: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = orjson.loads(text)
    return records


def _encode(leads: Sequence[ExternalLead]) -> str:
    try:
        text = orjson.dumps(leads)
    except TypeError:
        text = _NUL
    if _NUL in text:
        # Rare: some record holds what the database cannot store. Find it, and keep the others.
        text = orjson.dumps(list(map(_storable, leads)))
    return text.decode()


def _storable(lead: ExternalLead) -> ExternalLead:
    try:
        if _NUL not in orjson.dumps(lead):
            return lead
    except TypeError:
        return ExternalLead(problem="it holds text that is not valid Unicode, or is nested too deeply")
    return ExternalLead(problem="it holds a NUL character")
