"""Read-through cache for finished answers, coherent across processes.

A miss takes a short fill token; an invalidation deletes value and token; a fill is stored only while its token stands.
So a slow reader can never put an old row back after a newer one was announced. Redis away: every read goes to
PostgreSQL. The one bound: if a process dies between its commit and the invalidation (or Redis stalls in between), an
old value lives at most `DEFAULT_CACHE_TTL`. A process that lives says it again until Redis takes it;
`contactship_cache_forget_failed_total` counts how often that was needed.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from contactship_common import metrics
from contactship_common.redis_edge import RedisEdge

_FILL_TOKEN_MS = 5_000
_LOSER_WAITS_SECONDS = 0.1
_LOSER_LOOKS_EVERY_SECONDS = 0.01

_STORE_IF_UNCHANGED = """
if redis.call('GET', KEYS[2]) == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
    redis.call('DEL', KEYS[2])
    return 1
end
return 0
"""

_GIVE_UP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"""

Read = Callable[[], Awaitable[bytes | None]]


async def read_through(
    redis: RedisEdge, key: str, ttl_seconds: int, read: Read, *, looked_up: bytes | None = None
) -> tuple[bytes | None, bool]:
    """The cached bytes of `key`, else what `read` returns, stored for the next. None is never stored.

    `looked_up`: what a pipeline of the caller has just found under `key`, which saves a round trip on a hit.
    Returns the bytes and whether they came from the cache.
    """
    if looked_up is not None and ttl_seconds:
        metrics.CACHE.labels("hit").inc()
        return looked_up, True
    if not ttl_seconds or redis.away:
        metrics.CACHE.labels("off").inc()
        return await read(), False
    token = secrets.token_hex(8)

    async def look(client: Any) -> list[Any]:
        async with client.pipeline(transaction=False) as pipe:
            pipe.get(key)
            pipe.set(f"{key}:fill", token, nx=True, px=_FILL_TOKEN_MS)
            return list(await pipe.execute())

    found = await redis.attempt("cache", look)
    if found is None:
        metrics.CACHE.labels("off").inc()
        return await read(), False
    value, won = found
    if value is None and not won:
        value = await _wait_for_winner(redis, key)
    if value is not None:
        metrics.CACHE.labels("hit").inc()
        return value, True
    metrics.CACHE.labels("miss").inc()
    if not won:
        return await read(), False
    fresh = None
    try:
        fresh = await read()
    finally:
        if fresh is None:
            # Nothing to store: nobody shall wait for it.
            await redis.attempt("cache", lambda client: client.eval(_GIVE_UP, 1, f"{key}:fill", token))
    if fresh is not None:
        await redis.attempt(
            "cache",
            lambda client: client.eval(_STORE_IF_UNCHANGED, 2, key, f"{key}:fill", token, fresh, ttl_seconds),
        )
    return fresh, False


async def _wait_for_winner(redis: RedisEdge, key: str) -> bytes | None:
    """What another reader stores within a tenth of a second. Whatever is stored after we looked is newer than our
    request: every invalidation deletes the value with its token."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _LOSER_WAITS_SECONDS
    while loop.time() < deadline:
        await asyncio.sleep(_LOSER_LOOKS_EVERY_SECONDS)
        value = await redis.attempt("cache", lambda client: client.get(key))
        if value is not None:
            return bytes(value)
    return None
