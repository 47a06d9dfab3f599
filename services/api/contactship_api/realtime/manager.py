"""python-socketio's manager on our own Redis connections: short time limits when it emits, and a subscription that
notices a frozen Redis."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import orjson

from contactship_common.realtime import CHANNEL, Emitter
from contactship_common.redis_edge import RedisEdge
from contactship_common.redis_subscription import listen


class GatewayManager(Emitter):
    """Serves this process's sockets even while Redis is away, and hands on what other processes emit."""

    def __init__(self, redis: RedisEdge, redis_url: str, on_access_changed: Callable[[UUID], None]) -> None:
        super().__init__(redis, write_only=False)
        self._redis_url = redis_url
        self._on_access_changed = on_access_changed

    async def access_changed(self, user_id: UUID) -> None:
        self._on_access_changed(user_id)
        await super().access_changed(user_id)

    async def _listen(self) -> AsyncIterator[Any]:
        if not self._redis_url:
            return
        async for _, data in listen(self._redis_url, CHANNEL):
            message = orjson.loads(data)
            if message.get("method") == "access_changed":
                self._on_access_changed(UUID(message["user"]))
            else:
                yield message
