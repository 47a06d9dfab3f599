"""Whatever the order in which a call's events come, the same call results."""

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contactship_common.contact_center.events import CallEvent
from contactship_common.models import Direction, InteractionStatus, Outcome
from contactship_common.models.contact_center import ENDED_INTERACTIONS
from contactship_delivery_worker.inbound.call_state import Told, dump, fold, load

S = InteractionStatus
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def at(minute: int) -> datetime:
    return datetime(2026, 11, 20, 10, minute, tzinfo=UTC)


moments = st.none() | st.integers(0, 59).map(at)
texts = st.none() | st.sampled_from(["a", "b", "c"])
events = st.builds(
    CallEvent,
    type=st.just("call"),
    status=st.none() | st.sampled_from([*InteractionStatus]),
    over=st.booleans(),
    direction=st.none() | st.sampled_from([*Direction]),
    from_number=texts,
    occurred_at=moments,
    started_at=moments,
    ended_at=moments,
    agent=texts,
    outcome=st.none() | st.sampled_from([*Outcome]),
    transcript=texts,
    duration_sec=st.none() | st.integers(0, 500),
)


def told(each: list[CallEvent]) -> list[Told]:
    return [Told(event, f"key-{n}", NOW) for n, event in enumerate(each)]


@given(st.lists(events, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(each: list[CallEvent], chance: Any) -> None:
    shuffled = told(each)
    chance.shuffle(shuffled)
    assert fold(shuffled) == fold(told(each))


@given(st.lists(events, min_size=1, max_size=6), events)
def test_a_call_that_has_ended_never_reopens(each: list[CallEvent], later: CallEvent) -> None:
    before, after = fold(told(each)), fold(told([*each, later]))
    if before["status"] in ENDED_INTERACTIONS:
        assert after["status"] in ENDED_INTERACTIONS


@given(st.lists(events, min_size=1, max_size=6))
def test_a_call_ends_after_it_began_and_only_if_it_ended(each: list[CallEvent]) -> None:
    state = fold(told(each))
    assert (state["ended_at"] is not None) == (state["status"] in ENDED_INTERACTIONS)
    assert state["ended_at"] is None or state["ended_at"] >= state["started_at"]


@given(events)
def test_an_event_is_stored_without_loss(event: CallEvent) -> None:
    assert load(dump(event)) == event


LIFE = [
    CallEvent("call", status=S.IN_PROGRESS, occurred_at=at(0), started_at=at(0), from_number="+5491155551234"),
    CallEvent("call", status=S.IN_PROGRESS, occurred_at=at(1), agent="Sofía", intent="precio"),
    CallEvent("call", status=S.COMPLETED, occurred_at=at(5), ended_at=at(5), agent="Pedro", outcome=Outcome.ESCALATED),
    CallEvent("audio", over=True, occurred_at=at(6), has_audio=True),
]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_newest_word_counts_and_gaps_are_filled(order: tuple[int, ...]) -> None:
    each = told(LIFE)
    state = fold([each[n] for n in order])
    assert (state["status"], state["started_at"], state["ended_at"]) == (S.COMPLETED, at(0), at(5))
    assert (state["agent"], state["intent"], state["outcome"]) == ("Pedro", "precio", Outcome.ESCALATED)
    assert (state["duration_sec"], state["has_audio"]) == (300, True)


@pytest.mark.parametrize("end", [S.FAILED, S.ABANDONED])
def test_a_recording_says_nothing_about_how_a_call_ended(end: S) -> None:
    each = [CallEvent("call", status=end, occurred_at=at(1)), CallEvent("audio", over=True, occurred_at=at(9))]
    assert fold(told(each))["status"] == end
