"""Events to connected browsers, from any process: published on Redis, handed on by the gateways.

Best effort by design: what an event says can always be read over REST. python-socketio's own wire format is used, so
that its server hands on what other processes emit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from socketio.async_pubsub_manager import AsyncPubSubManager

from contactship_common.redis_edge import RedisEdge

CHANNEL = "cs:realtime"


@dataclass(frozen=True, slots=True)
class Event:
    """`rooms` are people (`contactship_common.conversations.audience`); a socket in several of them gets it once."""

    name: str
    data: dict[str, Any]
    rooms: Sequence[str]


class Emitter(AsyncPubSubManager):  # type: ignore[misc]  # the library has no types
    """Emits only; the gateway's own manager also listens. A Redis that is away costs nothing but the event."""

    def __init__(self, redis: RedisEdge, *, write_only: bool = True) -> None:
        super().__init__(channel=CHANNEL, write_only=write_only)
        self._redis = redis

    async def send(self, event: Event) -> None:
        """Emit one event to all its rooms at once."""
        await self.emit(event.name, event.data, room=list(event.rooms))

    async def access_changed(self, user_id: UUID) -> None:
        """Have every gateway look at once at what this person may still do."""
        await self._publish({"method": "access_changed", "user": str(user_id)})

    async def _publish(self, data: dict[str, Any]) -> None:
        message = orjson.dumps(data)
        await self._redis.attempt("realtime", lambda client: client.publish(CHANNEL, message))
