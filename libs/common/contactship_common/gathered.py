"""Calls that come at about the same moment become one.

What comes while one is under way waits for its end and goes with the next: alone, a call waits for nobody, and a busy
process makes few of them for many.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")

_MOST = 128
"""In one call; its end holds up all of them."""


class Gathered(Generic[A, R]):
    """`work` takes what several callers gave and returns an answer for each, in their order; None: it could not, and
    all of them get None. It should not raise: then they get None, too, and the error is the event loop's to report."""

    def __init__(self, work: Callable[[Sequence[A]], Awaitable[Sequence[R] | None]]) -> None:
        self._work = work
        self._waiting: list[tuple[A, asyncio.Future[R | None]]] = []
        self._working: asyncio.Task[None] | None = None

    async def __call__(self, given: A) -> R | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[R | None] = loop.create_future()
        self._waiting.append((given, answer))
        if self._working is None:
            # Begins when everybody who runs at this moment has asked; what it logs is not about the first of them.
            self._working = loop.create_task(self._run(), context=Context())
        return await answer

    async def _run(self) -> None:
        batch: list[tuple[A, asyncio.Future[R | None]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                found = await self._work([given for given, _ in batch])
                for position, (_, answer) in enumerate(batch):
                    if not answer.done():  # who asked may have gone
                        answer.set_result(None if found is None else found[position])
        finally:
            self._working = None
            left, self._waiting = [*batch, *self._waiting], []
            for _, answer in left:
                if not answer.done():
                    answer.set_result(None)
