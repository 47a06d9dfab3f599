"""Redis as something that may be away at any moment: short time limits, and no call at all for a moment after a
failure, so that an outage costs a request milliseconds instead of a timeout each.

A plain timestamp does what a circuit breaker library would: there is nothing to count and nothing to share.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import redis.asyncio as aioredis
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError

from contactship_common import metrics

T = TypeVar("T")
log = structlog.get_logger()

_TIMEOUT_SECONDS = 0.4
_PAUSE_SECONDS = 1.0
_CONNECTIONS = 64


class RedisEdge:
    """The process's async Redis client, and the one way to use it on a request's path."""

    def __init__(self, url: str) -> None:
        self.client: aioredis.Redis | None = None
        if url:
            # More callers than connections wait a moment; a pool that refuses them would look like an outage.
            pool = aioredis.BlockingConnectionPool.from_url(
                url,
                timeout=_TIMEOUT_SECONDS,
                socket_timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                max_connections=_CONNECTIONS,
                # Once, and only for a connection that Redis had closed meanwhile (a restart): without it each idle
                # connection would look like an outage of its own. Time-outs are not repeated.
                retry=Retry(NoBackoff(), 1, (ConnectionError,)),
            )
            self.client = aioredis.Redis.from_pool(pool)
        self._paused_until = 0.0
        self._under_way = 0
        self._none_under_way = asyncio.Event()
        self._closed = False

    @property
    def away(self) -> bool:
        """True while calls are skipped: Redis failed a moment ago, is not configured, or this is closed."""
        return self.client is None or self._closed or time.monotonic() < self._paused_until

    async def attempt(self, use: str, call: Callable[[Any], Awaitable[T]]) -> T | None:
        """Run `call(client)`; None if Redis is away. `use` names the purpose in the metric and the log."""
        if self.client is None or self.away:
            metrics.REDIS_FAILED.labels(use).inc()
            return None
        self._under_way += 1
        try:
            return await call(self.client)
        except (RedisError, OSError, TimeoutError) as error:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            metrics.REDIS_FAILED.labels(use).inc()
            log.warning("redis.failed", use=use, error=type(error).__name__)
            return None
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._none_under_way.set()

    async def close(self) -> None:
        """Close all connections, once the calls that are under way have ended: those that ended later would leave
        theirs open. Each has a time limit; who calls from now on hears that Redis is away."""
        self._closed = True
        self._none_under_way.clear()
        if self._under_way:
            await self._none_under_way.wait()
        if self.client is not None:
            # A server that hangs may refuse even to be left; what else is to be closed must be closed all the same.
            with suppress(RedisError, OSError, TimeoutError):
                await self.client.aclose()
