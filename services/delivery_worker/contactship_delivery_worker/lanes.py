"""How many attempts one receiver may keep waiting at once, so that slow ones leave room for the others, and for codes
and messages to people."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

Token = tuple[UUID, int]
"""One run of one task."""

_SHORTEST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 60.0
_SECONDS_TO_BEGIN = 10.0
"""A lane whose attempt has not begun by then is free again: its run ended in between."""


@dataclass(slots=True)
class _Receiver:
    """`lanes`: until when each is kept; None once its attempt has begun. `seconds` is what attempts took lately."""

    lanes: dict[Token, float | None] = field(default_factory=dict)
    seconds: float = 1.0
    next_turn: float = 0.0


class Lanes:
    """Of one process. `per_receiver` attempts at one receiver at once, `in_all` at all of them."""

    def __init__(self, *, per_receiver: int, in_all: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_receiver = per_receiver
        self._in_all = in_all
        self._clock = clock
        self._receivers: dict[str, _Receiver] = {}

    def take(self, name: str, token: Token) -> float | None:
        """None: this run has a lane. Otherwise seconds after which it may ask again: about its turn, as long as the
        receiver takes."""
        now = self._clock()
        self._tidy(now)
        receiver = self._receivers.setdefault(name, _Receiver())
        taken = sum(len(each.lanes) for each in self._receivers.values())
        if len(receiver.lanes) < self._per_receiver and taken < self._in_all:
            receiver.lanes[token] = now + _SECONDS_TO_BEGIN
            return None
        receiver.next_turn = max(now, receiver.next_turn) + receiver.seconds / self._per_receiver
        wait = min(max(receiver.next_turn - now, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
        return wait * random.uniform(0.8, 1.2)  # noqa: S311  # spreads load, keeps no secret

    def begin(self, name: str, token: Token) -> None:
        """The attempt starts: the lane is its until `leave`."""
        self._receivers.setdefault(name, _Receiver()).lanes[token] = None

    def leave(self, name: str, token: Token, seconds: float) -> None:
        """The attempt is over and took so long."""
        receiver = self._receivers[name]
        receiver.lanes.pop(token, None)
        receiver.seconds = 0.8 * receiver.seconds + 0.2 * seconds

    def _tidy(self, now: float) -> None:
        for name, receiver in list(self._receivers.items()):
            for token, kept_until in list(receiver.lanes.items()):
                if kept_until is not None and kept_until <= now:
                    del receiver.lanes[token]
            if not receiver.lanes and receiver.next_turn <= now:
                del self._receivers[name]
