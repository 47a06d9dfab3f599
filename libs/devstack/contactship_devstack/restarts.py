"""When a process that died is started again, and when that stops making sense."""

import time
from collections import deque
from collections.abc import Callable

MAX_DEATHS = 5
WINDOW_S = 60.0
FIRST_WAIT_S = 0.5


class Backoff:
    """Waits 0.5, 1, 2, 4 s after one death after the other; the fifth within a minute is a crash loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._deaths: deque[float] = deque()
        self._due: float | None = None

    def died(self) -> float | None:
        """Note a death. Returns the seconds until the next start, or None for a crash loop."""
        now = self._clock()
        self._deaths.append(now)
        while self._deaths[0] < now - WINDOW_S:
            self._deaths.popleft()
        if len(self._deaths) >= MAX_DEATHS:
            return None
        wait: float = FIRST_WAIT_S * 2 ** (len(self._deaths) - 1)
        self._due = now + wait
        return wait

    @property
    def waiting(self) -> bool:
        """Whether a death was noted whose restart has not happened yet."""
        return self._due is not None

    def take(self) -> bool:
        """True once, when the next start is due."""
        if self._due is None or self._clock() < self._due:
            return False
        self._due = None
        return True
