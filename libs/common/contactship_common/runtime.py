"""What a process holds open for as long as it lives: database, Redis, realtime, and the bell that wakes workers."""

from collections.abc import Callable
from typing import Any

from contactship_common.db import Database
from contactship_common.invalidation import Invalidations
from contactship_common.realtime import Emitter
from contactship_common.redis_edge import RedisEdge
from contactship_common.redis_together import Together
from contactship_common.settings import AISettings, CoreSettings
from contactship_common.tasks.bell import Bell
from contactship_common.tasks.broker import close_sending, make_broker
from contactship_common.tasks.endings import Endings


class Runtime:
    """Opened once in the process's event loop, closed once at its end, passed to whoever needs it."""

    def __init__(self, settings: CoreSettings, ai: AISettings | None = None) -> None:
        self.settings = settings
        self.ai = ai or AISettings()
        self.db = Database(settings)
        self.endings = Endings(self.db)
        self.redis = RedisEdge(settings.redis_url)
        self.telling = Together(self.redis, "after_commit")
        # The gateway puts its Socket.IO server's manager here, which also serves its own sockets.
        self.realtime = Emitter(self.redis)
        self.invalidations = Invalidations(self.redis)
        # What this process can say about parts of its own on its health port, by name: a `status` of up or down first.
        self.parts: dict[str, Callable[[], dict[str, Any]]] = {}
        self.broker = make_broker(settings.broker_url)
        self.bell = Bell(self.broker)

    def max_attempts(self, queue: str) -> int:
        """Failed runs after which a task of this queue ends."""
        return self.ai.ai_max_retries if queue == "ai" else self.settings.task_max_attempts

    async def open(self) -> None:
        await self.db.open()
        self.bell.start()

    async def close(self) -> None:
        self.bell.stop()
        close_sending(self.broker)
        # Calls that fail while Redis is closed leave keys to invalidate.
        await self.redis.close()
        await self.invalidations.close()
        await self.db.close()
