"""Runs from their start to their end, through the real runner."""

from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from contactship_common import sync_jobs
from contactship_common.runtime import Runtime
from contactship_common.settings import SyncSettings
from contactship_common.tasks.catalog import SyncApply, SyncFetch
from contactship_common.tasks.runner import Runner
from contactship_common.uow import Context, unit_of_work
from contactship_devstack.testing import Sql
from contactship_sync_worker.handlers.sync_apply import ApplyPage
from contactship_sync_worker.handlers.sync_fetch import FetchPage
from contactship_sync_worker.sources.http import SourceHttp
from contactship_sync_worker.sources.registry import build_sources
from sync_testkit.sources import NO_WAITS


class Syncs:
    """A worker's handlers in the test's process."""

    def __init__(self, runtime: Runtime, sql: Sql, stack: AsyncExitStack) -> None:
        self.runtime = runtime
        self.sql = sql
        self._stack = stack
        self.runner = self.use()

    def use(self, **settings: Any) -> Runner:
        """From now on these settings hold, given by field name."""
        self.settings = SyncSettings(**(NO_WAITS | settings))
        http = SourceHttp(self.settings)
        self._stack.push_async_callback(http.aclose)
        handlers = {
            SyncFetch.KIND: FetchPage(build_sources(self.settings, http), self.settings),
            SyncApply.KIND: ApplyPage(self.settings),
        }
        self.runner = Runner(self.runtime, handlers, owner="worker-1")
        return self.runner

    async def start(self, source: str = "randomuser", *, batch_size: int = 10) -> sync_jobs.Started:
        async with unit_of_work(self.runtime, Context(actor="tester")) as uow:
            return await sync_jobs.start(uow, source, batch_size=batch_size)

    async def step(self, job_id: UUID) -> dict[str, Any] | None:
        """Run the job's open task, due or not; returns its row, or None if there is none."""
        open_tasks = await self.sql(
            "UPDATE tasks SET run_at = now() WHERE subject_id = %s AND status = 'queued' RETURNING id", job_id
        )
        if not open_tasks:
            return None
        assert len(open_tasks) == 1
        await self.runner.run(open_tasks[0]["id"])
        [row] = await self.sql("SELECT * FROM tasks WHERE id = %s", open_tasks[0]["id"])
        return row

    async def finish(self, job_id: UUID) -> dict[str, Any]:
        """Run the job's tasks until none is left; returns its row."""
        while await self.step(job_id) is not None:
            pass
        return await self.job(job_id)

    async def run(self, source: str = "randomuser", *, batch_size: int = 10) -> dict[str, Any]:
        """A run from start to end; returns the job's row."""
        started = await self.start(source, batch_size=batch_size)
        return await self.finish(started.job.id)

    async def job(self, job_id: UUID) -> dict[str, Any]:
        [row] = await self.sql("SELECT * FROM sync_jobs WHERE id = %s", job_id)
        return row

    async def count(self, table_and_condition: str) -> int:
        [row] = await self.sql(f"SELECT count(*) AS n FROM {table_and_condition}")
        return int(row["n"])
