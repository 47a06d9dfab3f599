"""Waiting for conditions, never for time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

_LOOK_EVERY_SECONDS = 0.01


async def until(condition: Callable[[], Awaitable[object]], what: str, *, seconds: float = 10.0) -> None:
    """Look until the condition is true."""
    deadline = time.monotonic() + seconds
    while True:
        if await condition():
            return
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
