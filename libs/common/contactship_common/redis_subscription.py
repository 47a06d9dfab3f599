"""Listening on Redis channels for good: reconnects after a failure, and takes a silent server for a dead one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import redis.asyncio as aioredis
import structlog
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = structlog.get_logger()

_ONCE = Retry(NoBackoff(), 0)

_RETRY_SECONDS = 1.0
_PING_SECONDS = 0.5
_SILENT_SECONDS = 1.5


async def listen(
    redis_url: str, *channels: str, on_change: Callable[[bool], None] = lambda connected: None
) -> AsyncIterator[tuple[str, bytes]]:
    """Every message of these channels as (channel, data), until cancelled. What is published while Redis is away is
    gone: `on_change(True)` after each subscription is the moment to look at what may have been missed."""
    while True:
        client = aioredis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1, retry=_ONCE)
        connected = False
        try:
            async with client.pubsub() as subscription:
                await subscription.subscribe(*channels)
                connected = True
                on_change(True)
                async for message in _heard(subscription):
                    yield message
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("redis.subscription_lost", channels=channels, error=type(error).__name__)
        finally:
            if connected:
                on_change(False)
            with suppress(RedisError, OSError):
                await client.aclose()
        await asyncio.sleep(_RETRY_SECONDS)


async def _heard(subscription: PubSub) -> AsyncIterator[tuple[str, bytes]]:
    """Until Redis fails or is silent: a frozen server closes no connection."""
    loop = asyncio.get_running_loop()
    heard_at = loop.time()
    while True:
        message = await subscription.get_message(ignore_subscribe_messages=False, timeout=_PING_SECONDS)
        if message is not None:
            heard_at = loop.time()
            if message["type"] == "message":
                yield message["channel"].decode(), message["data"]
        elif loop.time() - heard_at > _SILENT_SECONDS:
            raise TimeoutError
        else:
            await subscription.ping()
