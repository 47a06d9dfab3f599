"""A worker process whose tasks do nothing, or wait a second as a model call does: `python -m bench.worker`.

Everything else is Contactship's: Dramatiq, claim, load, record, leases.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.runtime import Runtime
from contactship_common.tasks.catalog import KINDS, TaskKind
from contactship_common.tasks.handler import AnyHandler, Handler
from contactship_common.tasks.store import ClaimedTask
from contactship_common.tasks.worker import run_worker
from contactship_common.uow import UnitOfWork

THREADS = 256
"""As many as the AI worker has."""


class Nothing(TaskKind):
    """No work at all."""

    KIND = "bench.nothing"
    QUEUE = "ai"


class OneSecond(TaskKind):
    """What a model call costs without any vendor's library: waiting."""

    KIND = "bench.one_second"
    QUEUE = "ai"


class _Wait(Handler[Any, dict[str, str], dict[str, str]]):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def load(self, session: AsyncSession, payload: TaskKind, task: ClaimedTask) -> dict[str, str]:
        return {"kind": task.kind}

    async def work(self, payload: TaskKind, loaded: dict[str, str]) -> dict[str, str]:
        if self._seconds:
            await asyncio.sleep(self._seconds)
        return loaded

    async def record(
        self, uow: UnitOfWork, payload: TaskKind, task: ClaimedTask, loaded: dict[str, str], result: dict[str, str]
    ) -> dict[str, Any]:
        return {}


def _make_handlers(_runtime: Runtime, _stack: AsyncExitStack) -> dict[str, AnyHandler]:
    return {Nothing.KIND: _Wait(0), OneSecond.KIND: _Wait(1)}


def main() -> None:
    KINDS.update({kind.KIND: kind for kind in (Nothing, OneSecond)})
    run_worker("ai", _make_handlers, default_threads=THREADS)


if __name__ == "__main__":
    main()
