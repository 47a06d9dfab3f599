"""What workers do to tasks, without a worker: real runs with a handler that only answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from api_testkit.api import Api
from contactship_common.tasks import store
from contactship_common.tasks.catalog import LeadSummary
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Permanent
from contactship_common.tasks.runner import Runner
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork, unit_of_work

_SUMMARISED = sa.text("""
UPDATE leads SET summary = :summary, next_action = 'Call them', summary_generated_at = now(),
       summary_facts_at = facts_changed_at, version = version + 1, updated_at = clock_timestamp()
 WHERE id = :id
""")


class _Summarise(Handler[Any, Any, Any]):
    def __init__(self, summary: str, fails: bool) -> None:
        self.summary, self.fails = summary, fails

    async def load(self, session: AsyncSession, payload: Any, task: ClaimedTask) -> Any:
        return None

    async def work(self, payload: Any, loaded: Any) -> Any:
        if self.fails:
            raise Permanent("model_refused", "The model refused")
        return self.summary

    async def record(self, uow: UnitOfWork, payload: Any, task: ClaimedTask, loaded: Any, result: Any) -> Any:
        await uow.session.execute(_SUMMARISED, {"summary": result, "id": payload.lead_id})
        return {"cached": False}


async def run_tasks(api: Api, *task_ids: str, summary: str = "They want a demo", fails: bool = False) -> None:
    """Run these summary tasks as the AI worker would, with its runner and its transactions."""
    handlers: dict[str, Any] = {LeadSummary.KIND: _Summarise(summary, fails)}
    runner = Runner(api.gateway.runtime, handlers, owner="worker-of-the-test")
    for task_id in task_ids:
        await runner.run(UUID(task_id))


async def start_task(api: Api, task_id: str) -> ClaimedTask:
    """Claim it, as a worker that is now busy with it; the cached copies go as they do then."""
    task = await store.claim(api.gateway.runtime.db.fast, UUID(task_id), owner="busy-worker", lease_seconds=30)
    assert task is not None
    return task


@asynccontextmanager
async def ending_task(api: Api, task: ClaimedTask, *, summary: str = "They want a demo") -> AsyncIterator[str | None]:
    """Finish what `start_task` claimed, and commit that at the end of the block; gives the status it has then."""
    async with unit_of_work(api.gateway.runtime) as uow:
        await uow.session.execute(_SUMMARISED, {"summary": summary, "id": task.subject_id})
        status = await store.finish(uow.session, task, "succeeded", result={})
        uow.task_ended(task.id)
        uow.forget(f"cs:lead:{task.subject_id}")
        yield status


async def end_task(api: Api, task: ClaimedTask, *, summary: str = "They want a demo") -> str | None:
    """Finish what `start_task` claimed; returns the status it has then."""
    async with ending_task(api, task, summary=summary) as status:
        return status
