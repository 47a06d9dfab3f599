"""AI_REQUESTS_PER_MINUTE: calls a minute to each provider, over all processes together."""

import random
import time
from typing import Any

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from contactship_common.redis_edge import RedisEdge

log = structlog.get_logger()

_SPREAD_SECONDS = 5.0


class RequestRate:
    """Counts in Redis; while that is away, in this process alone (a wrong limit is better than a stopped worker)."""

    def __init__(self, per_minute: int, redis: RedisEdge | None) -> None:
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._redis = redis
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        if redis is not None and redis.client is not None:
            # Over the process's own client: its time limits hold here too. The library's types know only plain options.
            pool: Any = redis.client.connection_pool
            storage = RedisStorage("redis://", implementation="redispy", key_prefix="ai-rate", connection_pool=pool)
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def take(self, provider: str) -> float:
        """0.0 if the call may go out (it is then counted), else the seconds after which to ask again.

        The wait is spread, so that what was stopped together does not come back together.
        """
        if self._item is None:
            return 0.0
        item, shared = self._item, self._shared
        wait: float | None = None
        if self._redis is not None and shared is not None:
            wait = await self._redis.attempt("ai_rate", lambda _: _take(shared, item, provider))
        if wait is None:
            wait = await _take(self._own, item, provider)
        if wait:
            log.info("ai_rate.exceeded", provider=provider, per_minute=item.amount)
        return wait


async def _take(limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, provider: str) -> float:
    if await limiter.hit(item, provider):
        return 0.0
    window = await limiter.get_window_stats(item, provider)
    return float(max(1.0, window.reset_time - time.time()) + random.uniform(0, _SPREAD_SECONDS))  # noqa: S311
