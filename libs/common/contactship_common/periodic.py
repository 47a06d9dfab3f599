"""Doing something again and again for as long as a process lives, whatever goes wrong in between."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from contactship_common import faults
from contactship_common.db import DATABASE_AWAY

log = structlog.get_logger()


async def periodically(
    name: str, step: Callable[[], Awaitable[object]], *, every_seconds: float, stop: asyncio.Event | None = None
) -> None:
    """Call `step` every so many seconds until `stop` is set.

    A database that is away is waited for; any other error is logged as `periodic.failed` and the next turn comes all
    the same: one bad statement must not end a loop that others rely on.
    """
    stop = stop or asyncio.Event()
    while not stop.is_set():
        try:
            await step()
        except DATABASE_AWAY as error:
            log.warning("periodic.delayed", name=name, error=type(error).__name__)
        except Exception as error:
            log.exception("periodic.failed", name=name)
            faults.report(error, "periodic.failed", step=name)
        try:
            async with asyncio.timeout(every_seconds):
                await stop.wait()
        except TimeoutError:
            continue
