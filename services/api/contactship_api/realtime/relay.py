"""Events to this process's sockets: its own at once, those of other processes through Redis."""

from collections.abc import Callable
from uuid import UUID

import orjson

from contactship_common.realtime import CHANNEL, Emitter, Event
from contactship_common.redis_edge import RedisEdge
from contactship_common.redis_subscription import Subscription


class Relay(Emitter):
    """What units of work of the gateway emit through. Its own sockets are served while Redis is away, too."""

    def __init__(
        self,
        redis: RedisEdge,
        redis_url: str,
        *,
        deliver: Callable[[Event], None],
        on_access_changed: Callable[[UUID], None],
        on_connected: Callable[[], None],
    ) -> None:
        super().__init__(redis)
        self._own = orjson.dumps({"origin": self.origin})[:-1]
        self._deliver = deliver
        self._on_access_changed = on_access_changed
        self._on_connected = on_connected
        self.subscription = Subscription(redis_url, CHANNEL, self._hear, self._connection_changed)

    async def send(self, *events: Event) -> None:
        for event in events:
            self._deliver(event)
        await super().send(*events)

    async def access_changed(self, user_id: UUID) -> None:
        self._on_access_changed(user_id)
        await super().access_changed(user_id)

    def _hear(self, data: bytes) -> None:
        if data.startswith(self._own):
            return
        message = orjson.loads(data)
        if (user_id := message.get("accessChanged")) is not None:
            self._on_access_changed(UUID(user_id))
        else:
            self._deliver(Event(message["event"], message["data"], message["rooms"]))

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._on_connected()
