"""Invalidations that Redis did not take at once: said again until it does.

A Redis that was away for a moment comes back with what it had cached, and so does one that a busy process merely failed
to reach in time. Without this an old value would live for its whole TTL; with it, until Redis can be reached again.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog

from contactship_common import metrics
from contactship_common.redis_edge import RedisEdge

log = structlog.get_logger()

_MOST_KEYS = 50_000  # beyond that the TTL is the bound
_AGAIN_SECONDS = 0.25
_KEYS_A_CALL = 1_000


def deletions(keys: Iterable[str]) -> list[str]:
    """What has to go for these keys: the values, and the tokens of whoever is filling them."""
    found = list(keys)
    return [*found, *(f"{key}:fill" for key in found)]


class Invalidations:
    """One a process. `owe` notes keys and has them deleted as soon as Redis takes it."""

    def __init__(self, redis: RedisEdge) -> None:
        self._redis = redis
        self._owed: dict[str, None] = {}
        self._settling: asyncio.Task[None] | None = None
        self._closed = False

    def owe(self, keys: Iterable[str]) -> None:
        """Delete these keys later; counted, because until then an old value may be read."""
        new = [key for key in keys if key not in self._owed]
        metrics.CACHE_FORGET_FAILED.inc(len(new))
        self._owed.update(dict.fromkeys(new[: max(0, _MOST_KEYS - len(self._owed))]))
        if self._closed:
            return
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle())

    async def close(self) -> None:
        """Give up what is owed: it lives until its TTL ends."""
        self._closed = True
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait({self._settling})

    async def _settle(self) -> None:
        while self._owed:
            await asyncio.sleep(_AGAIN_SECONDS)
            some = list(self._owed)[:_KEYS_A_CALL]

            async def delete(client: Any, keys: list[str] = some) -> bool:
                await client.delete(*deletions(keys))
                return True

            if not self._redis.away and await self._redis.attempt("forget_again", delete):
                for key in some:
                    self._owed.pop(key, None)
        log.info("cache.caught_up")
