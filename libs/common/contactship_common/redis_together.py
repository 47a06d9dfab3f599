"""Redis commands of many requests in one round trip.

A pipeline costs a process as much as a dozen commands in it. What comes while one is under way waits for its end and
goes with the next: alone, a request waits for nobody, and a busy process asks seldom for many.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any

from contactship_common.redis_edge import RedisEdge

Command = tuple[str | bytes | int, ...]

_MOST_ASKERS = 128
"""In one pipeline; its answer holds up all of them."""


class Together:
    """One a process and purpose; `use` names that in metric and log."""

    def __init__(self, redis: RedisEdge, use: str) -> None:
        self._redis = redis
        self._use = use
        self._waiting: list[tuple[Sequence[Command], asyncio.Future[list[Any] | None]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, *commands: Command) -> list[Any] | None:
        """The answers to these commands, which are sent in this order; None if Redis is away or refused one."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any] | None] = loop.create_future()
        self._waiting.append((commands, answer))
        if self._sending is None:
            # Begins when everybody who runs at this moment has asked; what it logs is not about the first of them.
            self._sending = loop.create_task(self._send(), context=Context())
        return await answer

    async def _send(self) -> None:
        batch: list[tuple[Sequence[Command], asyncio.Future[list[Any] | None]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_ASKERS], self._waiting[_MOST_ASKERS:]
                await self._answer(batch)
        finally:
            self._sending = None
            for _, answer in [*batch, *self._waiting]:
                if not answer.done():  # this task was cancelled, or broke
                    answer.set_result(None)
            self._waiting = []

    async def _answer(self, batch: Sequence[tuple[Sequence[Command], "asyncio.Future[list[Any] | None]"]]) -> None:
        async def send(client: Any) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                for commands, _ in batch:
                    for command in commands:
                        pipe.execute_command(*command)
                return list(await pipe.execute())

        found = await self._redis.attempt(self._use, send)
        at = 0
        for commands, answer in batch:
            if not answer.done():
                answer.set_result(None if found is None else found[at : at + len(commands)])
            at += len(commands)
