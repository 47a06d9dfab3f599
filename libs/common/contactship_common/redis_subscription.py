"""Listening on Redis channels for good: reconnects after a failure, and takes a silent server for a dead one."""

import asyncio
from collections.abc import Callable
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
_CANCEL_AGAIN_SECONDS = 1.0


class Subscription:
    """Listens from `open` to `close`, for all of a process's life.

    `heard(data)` gets every message; what is published while Redis is away is gone: `changed(True)` after each
    subscription is the moment to look at what was missed, `changed(False)` says that nothing will be heard for now.
    Both are called in the event loop; an error of theirs is logged and ends nothing.
    """

    def __init__(
        self,
        redis_url: str,
        channel: str,
        heard: Callable[[bytes], None],
        changed: Callable[[bool], None] = lambda connected: None,
    ) -> None:
        self._redis_url = redis_url
        self._channel = channel
        self._heard = heard
        self._changed = changed
        self._listener: asyncio.Task[None] | None = None
        self._cleaning_up = False
        self.connected = False

    async def open(self) -> None:
        if self._redis_url:
            self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        # Again and again: a cancellation that arrives while redis-py connects can be lost, and close would never end.
        # But not while it cleans up, which a second one would leave half done, with an open socket.
        while self._listener is not None and not self._listener.done():
            if not self._cleaning_up:
                self._listener.cancel()
            await asyncio.wait({self._listener}, timeout=_CANCEL_AGAIN_SECONDS)

    async def _listen(self) -> None:
        while True:
            client = aioredis.Redis.from_url(self._redis_url, socket_timeout=1, socket_connect_timeout=3, retry=_ONCE)
            try:
                async with client.pubsub() as subscription:
                    await subscription.subscribe(self._channel)
                    await self._hear(subscription)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis.subscription_lost", channel=self._channel, error=type(error).__name__)
            finally:
                self._cleaning_up = True
                self._say(False)
                with suppress(RedisError, OSError):
                    await client.aclose()
                self._cleaning_up = False
            await asyncio.sleep(_RETRY_SECONDS)

    async def _hear(self, subscription: PubSub) -> None:
        """Until Redis fails or is silent: a frozen server closes no connection."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            message = await subscription.get_message(ignore_subscribe_messages=False, timeout=_PING_SECONDS)
            if message is not None:
                heard_at = loop.time()
                if message["type"] == "subscribe":
                    self._say(True)
                elif message["type"] == "message":
                    try:
                        self._heard(message["data"])
                    except Exception:
                        log.exception("redis.message_failed", channel=self._channel)
            elif loop.time() - heard_at > _SILENT_SECONDS:
                raise TimeoutError
            else:
                await subscription.ping()

    def _say(self, connected: bool) -> None:
        self.connected = connected
        try:
            self._changed(connected)
        except Exception:
            log.exception("redis.message_failed", channel=self._channel)
