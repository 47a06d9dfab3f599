"""Redis commands of many requests in one round trip: a pipeline costs a process as much as a dozen commands in it."""

from collections.abc import Sequence
from typing import Any

from contactship_common.gathered import Gathered
from contactship_common.redis_edge import RedisEdge

Command = tuple[str | bytes | int, ...]


class Together:
    """One a process and purpose; `use` names that in metric and log."""

    def __init__(self, redis: RedisEdge, use: str) -> None:
        self._redis = redis
        self._use = use
        self._gathered: Gathered[Sequence[Command], list[Any]] = Gathered(self._send)

    async def ask(self, *commands: Command) -> list[Any] | None:
        """The answers to these commands, which are sent in this order; None if Redis is away or refused one."""
        return await self._gathered(commands)

    async def _send(self, given: Sequence[Sequence[Command]]) -> list[list[Any]] | None:
        async def send(client: Any) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                for commands in given:
                    for command in commands:
                        pipe.execute_command(*command)
                return list(await pipe.execute())

        found = await self._redis.attempt(self._use, send)
        if found is None:
            return None
        answers = iter(found)
        return [[next(answers) for _ in commands] for commands in given]
