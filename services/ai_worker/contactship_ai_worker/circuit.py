"""A circuit a provider: open, nothing is sent to it.

Own code because no library fits: `purgatory` and `aiobreaker` are unmaintained (last releases 2024 and 2021),
`circuitbreaker` cannot be opened from outside for a chosen time (a refused key, an empty account), and none of them
tells a call that began before the circuit opened from the one trial call after it: with 256 in flight that matters.
"""

import time
from collections.abc import Callable
from typing import Literal

import structlog

from contactship_common import metrics

log = structlog.get_logger()

State = Literal["closed", "open", "half_open"]

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 30.0
TRIAL_WAIT_SECONDS = 5.0


class CircuitBreaker:
    """Closed → 5 consecutive failures (or one refused key) → open → after its time one trial call → closed or open.

    `enter` gives a ticket for one call; what came of the call is told with that ticket. Tickets of an earlier period
    are ignored: late failures do not prolong an outage and a late success does not hide one.
    """

    def __init__(self, provider: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._clock = clock
        self._period = 0
        self._failures = 0
        self._open_until: float | None = None
        self._trial = False
        self._alerted = ""
        metrics.AI_CIRCUIT_OPEN.labels(provider).set(0)

    @property
    def state(self) -> State:
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half_open"

    @property
    def usable(self) -> bool:
        """Whether `enter` would give a ticket now."""
        return self.state == "closed" or (self.state == "half_open" and not self._trial)

    @property
    def out_seconds(self) -> float:
        """When to ask again: the rest of the open time, or a moment while a trial call is under way; 0 if usable."""
        if self.usable:
            return 0.0
        if self.state == "half_open":
            return TRIAL_WAIT_SECONDS
        return max(0.0, (self._open_until or 0.0) - self._clock())

    def enter(self) -> int | None:
        """A ticket for one call; None while nothing may be sent."""
        if not self.usable:
            return None
        self._trial = self.state == "half_open"
        return self._period

    def succeeded(self, ticket: int) -> None:
        """A valid answer."""
        if ticket == self._period:
            self._failures = 0
            self._close()

    def answered(self, ticket: int) -> None:
        """Not an answer we can use, yet the provider lives: ends a trial well and leaves the count as it is."""
        if ticket == self._period:
            self._close()

    def abandoned(self, ticket: int) -> None:
        """The call was cancelled and tells nothing; a trial may be made by the next."""
        if ticket == self._period:
            self._trial = False

    def failed(self, ticket: int) -> None:
        """A failure of the provider's."""
        if ticket != self._period:
            return
        self._failures += 1
        if self._trial or self._failures >= FAILURES_TO_OPEN:
            log.warning("ai_circuit.opened", provider=self._provider, failures=self._failures, seconds=OPEN_SECONDS)
            self._open(OPEN_SECONDS)

    def opens(self, ticket: int, *, seconds: float, reason: str) -> None:
        """The provider is out for `seconds`; says so aloud once, not once a call and not once a trial."""
        if ticket != self._period:
            return
        if self._alerted != reason:
            log.error("ai_provider.out", provider=self._provider, reason=reason, seconds=seconds, alert=True)
            self._alerted = reason
        self._open(seconds)

    def _open(self, seconds: float) -> None:
        self._open_until = self._clock() + seconds
        self._trial = False
        self._period += 1
        metrics.AI_CIRCUIT_OPEN.labels(self._provider).set(1)

    def _close(self) -> None:
        if self._open_until is not None:
            log.info("ai_circuit.closed", provider=self._provider)
            self._open_until = None
            self._failures = 0
            self._period += 1
            metrics.AI_CIRCUIT_OPEN.labels(self._provider).set(0)
        self._trial = False
        self._alerted = ""
