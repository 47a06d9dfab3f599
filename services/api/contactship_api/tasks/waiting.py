"""Waiting for tasks: one subscription a process, fanned out in memory."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import redis.asyncio as aioredis
import structlog
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from contactship_common.uow import TASK_ENDED_CHANNEL

log = structlog.get_logger()

_ONCE = Retry(NoBackoff(), 0)

_RETRY_SECONDS = 1.0
_PING_SECONDS = 0.5
_SILENT_SECONDS = 1.5


class TaskWaiter:
    """Wakes requests that hold an answer until a task ends.

    Register first, then read the task, then wait: a task that ends in between is either read as ended or announced.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None
        self.connected = False

    async def open(self) -> None:
        if self._redis_url:
            self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        # Again and again: a cancellation that arrives while redis-py connects can be lost, and close would never end.
        while self._listener is not None and not self._listener.done():
            self._listener.cancel()
            await asyncio.wait({self._listener}, timeout=0.1)

    @contextmanager
    def registered(self, task_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when the task is announced as ended."""
        event = asyncio.Event()
        waiting = self._waiting[str(task_id)]
        waiting.add(event)
        try:
            yield event
        finally:
            waiting.discard(event)
            if not waiting:
                self._waiting.pop(str(task_id), None)

    def _wake_all(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def _hear(self, subscription: PubSub) -> None:
        """Hand on what is announced, until Redis fails or is silent: a frozen server closes no connection."""
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            message = await subscription.get_message(ignore_subscribe_messages=False, timeout=_PING_SECONDS)
            if message is not None:
                heard_at = loop.time()
                if message["type"] == "message":
                    for event in self._waiting.get(message["data"].decode(), ()):
                        event.set()
            elif loop.time() - heard_at > _SILENT_SECONDS:
                raise TimeoutError
            else:
                await subscription.ping()

    async def _listen(self) -> None:
        while True:
            client = aioredis.Redis.from_url(self._redis_url, socket_timeout=1, socket_connect_timeout=1, retry=_ONCE)
            try:
                async with client.pubsub() as subscription:
                    await subscription.subscribe(TASK_ENDED_CHANNEL)
                    self.connected = True
                    await self._hear(subscription)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("task_waiter.disconnected", error=type(error).__name__)
            finally:
                self.connected = False
                self._wake_all()  # they look now, and once a second from here on
                with suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(_RETRY_SECONDS)
