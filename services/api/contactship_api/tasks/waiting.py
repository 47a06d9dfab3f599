"""Waiting for tasks: one subscription a process, fanned out in memory."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from contactship_common.redis_subscription import Subscription
from contactship_common.uow import TASK_ENDED_CHANNEL


class TaskWaiter:
    """Wakes requests that hold an answer until a task ends.

    Register first, then read the task, then wait: a task that ends in between is either read as ended or announced.
    """

    def __init__(self, redis_url: str) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._subscription = Subscription(redis_url, TASK_ENDED_CHANNEL, self._wake, self._connection_changed)

    @property
    def connected(self) -> bool:
        return self._subscription.connected

    async def open(self) -> None:
        await self._subscription.open()

    async def close(self) -> None:
        await self._subscription.close()

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

    def _wake(self, task_id: bytes) -> None:
        for event in self._waiting.get(task_id.decode(), ()):
            event.set()

    def _connection_changed(self, connected: bool) -> None:
        if not connected:
            for events in self._waiting.values():  # they look now, and once a second from here on
                for event in events:
                    event.set()
