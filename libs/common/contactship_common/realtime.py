"""Events to connected browsers, from any process: published on Redis, handed on by the gateways.

Best effort by design: what an event says can always be read over REST.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import orjson

from contactship_common.redis_edge import RedisEdge
from contactship_common.redis_together import Together

CHANNEL = "cs:realtime"


@dataclass(frozen=True, slots=True)
class Event:
    """`rooms` are people (`contactship_common.conversations.audience`); a socket in several of them gets it once."""

    name: str
    data: dict[str, Any]
    rooms: Sequence[str]


class Emitter:
    """Publishes; the gateway's own also serves its sockets. A Redis that is away costs nothing but the event.

    On the channel stand `{origin, event, data, rooms}` and `{origin, accessChanged}`, by which `origin` knows its own.
    """

    def __init__(self, redis: RedisEdge) -> None:
        self.origin = uuid4().hex
        self._together = Together(redis, "realtime")

    async def send(self, *events: Event) -> None:
        """Emit each event to all its rooms at once; in this order, in one round trip."""
        await self._publish(*({"event": one.name, "data": one.data, "rooms": list(one.rooms)} for one in events))

    async def access_changed(self, user_id: UUID) -> None:
        """Have every gateway look at once at what this person may still do."""
        await self._publish({"accessChanged": str(user_id)})

    async def _publish(self, *messages: dict[str, Any]) -> None:
        encoded = (orjson.dumps({"origin": self.origin, **message}) for message in messages)
        await self._together.ask(*(("PUBLISH", CHANNEL, each) for each in encoded))
