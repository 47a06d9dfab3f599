"""A handler whose steps are given by the test."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork

Step = Callable[..., Awaitable[Any]]

NOTE = sa.text("INSERT INTO audit_logs (id, actor, action, data) VALUES (gen_random_uuid(), 'test', :action, '{}')")
"""What handlers of tests write: an effect that a test can count."""


@dataclass
class Steps:
    """How often each step was entered."""

    load: int = 0
    work: int = 0
    record: int = 0
    failed: list[str] = field(default_factory=list)


class Fake(Handler[Any, Any, Any]):
    """Replace a step by giving a coroutine function with the step's own arguments."""

    def __init__(
        self,
        work: Step | None = None,
        *,
        load: Step | None = None,
        record: Step | None = None,
        failed: Step | None = None,
    ) -> None:
        self.steps = Steps()
        self._load, self._work, self._record, self._failed = load, work, record, failed

    async def load(self, session: AsyncSession, payload: Any, task: ClaimedTask) -> Any:
        self.steps.load += 1
        return await self._load(session, payload, task) if self._load else "loaded"

    async def work(self, payload: Any, loaded: Any) -> Any:
        self.steps.work += 1
        return await self._work(payload, loaded) if self._work else "worked"

    async def record(self, uow: UnitOfWork, payload: Any, task: ClaimedTask, loaded: Any, result: Any) -> Any:
        self.steps.record += 1
        await uow.session.execute(NOTE, {"action": "recorded"})
        return await self._record(uow, payload, task, loaded, result) if self._record else {"result": result}

    async def failed(self, uow: UnitOfWork, payload: Any, task: ClaimedTask, error: TaskError) -> None:
        self.steps.failed.append(error.code)
        await uow.session.execute(NOTE, {"action": "failed"})
        if self._failed:
            await self._failed(uow, payload, task, error)
