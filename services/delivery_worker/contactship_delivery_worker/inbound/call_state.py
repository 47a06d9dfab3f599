"""What is known about a call, from everything that was told about it.

The state is a fold over all its events in one order of their own, not in the order of their arrival: whichever way
they come, late or twice, the same events give the same call.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from contactship_common.contact_center.events import CallEvent
from contactship_common.models import Direction, InteractionStatus
from contactship_common.models.contact_center import ENDED_INTERACTIONS

_ADAPTER = TypeAdapter(CallEvent)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_KEPT = (
    "direction", "from_number", "to_number", "agent", "customer_ref", "customer_name", "queue", "intent", "outcome",
    "recording_url", "transcript", "transcript_id", "summary", "duration_sec", "hangup_reason", "has_audio",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """One event with its key and the time at which it came in."""

    event: CallEvent
    key: str
    received_at: datetime


def dump(event: CallEvent) -> dict[str, Any]:
    """The event as JSON, without what it does not say."""
    return {name: value for name, value in _ADAPTER.dump_python(event, mode="json").items() if value is not None}


def load(told: dict[str, Any]) -> CallEvent:
    return _ADAPTER.validate_python({name: told[name] for name in _NAMES if name in told})


_NAMES = tuple(field.name for field in fields(CallEvent))


def fold(events: Iterable[Told]) -> dict[str, Any]:
    """The call's fields: `status`, `started_at`, `ended_at`, and those of `CallEvent` that say something, by name.

    Of several values the newest counts, by what the provider says about the time. An ended call never reopens.
    """
    ordered = sorted(events, key=_order)
    state: dict[str, Any] = {}
    for name in _KEPT:
        values = (value for told in reversed(ordered) if (value := getattr(told.event, name)) is not None)
        state[name] = next(values, None)
    state["direction"] = state["direction"] or Direction.INBOUND
    state["status"] = _status(ordered)
    state["started_at"] = _started(ordered)
    state["ended_at"] = _ended(ordered, state) if state["status"] in ENDED_INTERACTIONS else None
    if state["duration_sec"] is None and state["ended_at"]:
        told_times = [told.event for told in ordered if told.event.started_at], [t for t in ordered if t.event.ended_at]
        if all(told_times):
            state["duration_sec"] = round((state["ended_at"] - state["started_at"]).total_seconds())
    return state


def _order(told: Told) -> tuple[datetime, int, str]:
    """By the event's own time; those without one come first, and the key decides what is left."""
    event = told.event
    rank = 2 if event.over or event.status in ENDED_INTERACTIONS else 1 if event.status else 0
    return event.occurred_at or _LONG_AGO, rank, told.key


def _status(ordered: Sequence[Told]) -> InteractionStatus:
    stated = [told.event.status for told in ordered if told.event.status is not None]
    ended = [status for status in stated if status in ENDED_INTERACTIONS]
    if ended:
        return ended[-1]
    if any(told.event.over for told in ordered):
        return InteractionStatus.COMPLETED
    return InteractionStatus.IN_PROGRESS if stated else InteractionStatus.NEW


def _started(ordered: Sequence[Told]) -> datetime:
    started = [told.event.started_at for told in ordered if told.event.started_at]
    noticed = [told.event.occurred_at for told in ordered if told.event.occurred_at]
    return min(started or noticed or [told.received_at for told in ordered])


def _ended(ordered: Sequence[Told], state: dict[str, Any]) -> datetime:
    """Never before the beginning, whatever a provider's clocks say."""
    last = [told for told in ordered if told.event.over or told.event.status in ENDED_INTERACTIONS]
    ended = [told.event.ended_at for told in ordered if told.event.ended_at]
    if not ended and state["duration_sec"] is not None and any(told.event.started_at for told in ordered):
        ended = [state["started_at"] + timedelta(seconds=state["duration_sec"])]
    ended = ended or [told.event.occurred_at for told in last if told.event.occurred_at]
    latest: datetime = max(ended or [told.received_at for told in last])
    began: datetime = state["started_at"]
    return max(latest, began)
