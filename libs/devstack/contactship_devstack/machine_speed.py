"""How fast this machine is at this moment: shared ones differ by half and more from hour to hour."""

import time

USUAL_MS = 50.0
"""What a million steps take on the machines that bounds of time in tests were written for."""


def million_steps_ms() -> float:
    """The time one core takes for a million steps of Python, the best of five."""
    best = float("inf")
    for _ in range(5):
        begun, total = time.perf_counter(), 0
        for step in range(1_000_000):
            total += step * step
        best = min(best, time.perf_counter() - begun)
    return best * 1_000


def slowness() -> float:
    """How many times slower than usual, from 1 to 4: a bound of time in a test is multiplied by it. Beyond that it is
    no machine to measure on."""
    return min(4.0, max(1.0, million_steps_ms() / USUAL_MS))
