"""A real worker process for tests: notes in its database when work begins, and does what the payload's name says.

`sleep:<seconds>` waits; everything else returns at once.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from common_testkit.handlers import NOTE
from common_testkit.kinds import KINDS, Plain
from contactship_common.runtime import Runtime
from contactship_common.tasks import catalog
from contactship_common.tasks.handler import AnyHandler, Handler
from contactship_common.tasks.worker import run_worker


class Work(Handler[Any, Any, Any]):
    async def load(self, session: Any, payload: Any, task: Any) -> str:
        return "loaded"

    async def work(self, payload: Any, loaded: Any) -> str:
        action, _, seconds = payload.name.partition(":")
        if action == "sleep":
            await asyncio.sleep(float(seconds))
        return "worked"

    async def record(self, uow: Any, payload: Any, task: Any, loaded: Any, result: Any) -> None:
        if payload.name != "nothing":
            await uow.session.execute(NOTE, {"action": f"ran:{task.id}"})


def handlers(runtime: Runtime, stack: AsyncExitStack) -> dict[str, AnyHandler]:
    return {Plain.KIND: Work()}


def main() -> None:
    catalog.KINDS |= KINDS
    run_worker("sync", handlers, default_threads=16)
