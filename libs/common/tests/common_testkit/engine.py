"""The task engine as a test drives it: one runtime, one runner, and a look at the rows."""

from typing import Any
from uuid import UUID

from contactship_common.runtime import Runtime
from contactship_common.tasks import store
from contactship_common.tasks.catalog import TaskKind
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.runner import Runner
from contactship_common.uow import Context, unit_of_work
from contactship_devstack.testing import Sql


class Engine:
    """`handlers` maps kind names to handlers and may be changed at any time."""

    def __init__(self, runtime: Runtime, sql: Sql) -> None:
        self.runtime = runtime
        self.sql = sql
        self.handlers: dict[str, AnyHandler] = {}
        self.runner = self.make_runner("worker-1")

    def make_runner(self, owner: str, **options: Any) -> Runner:
        return Runner(self.runtime, self.handlers, owner=owner, **options)

    async def enqueue(self, task: TaskKind, **options: Any) -> UUID:
        async with unit_of_work(self.runtime, Context(actor="tester", request_id="request-1")) as uow:
            ref = uow.enqueue(task, **options)
        return ref.id

    async def row(self, task_id: UUID) -> dict[str, Any]:
        [row] = await self.sql("SELECT * FROM tasks WHERE id = %s", task_id)
        return row

    async def run(self, task_id: UUID) -> dict[str, Any]:
        """Let the task be due, run it, and return its row."""
        await self.sql("UPDATE tasks SET run_at = now() WHERE id = %s AND status = 'queued'", task_id)
        await self.runner.run(task_id)
        return await self.row(task_id)

    async def do(self, task: TaskKind, handler: AnyHandler, **options: Any) -> dict[str, Any]:
        """Enqueue the task, run it once with this handler, and return its row."""
        self.handlers[task.KIND] = handler
        return await self.run(await self.enqueue(task, **options))

    async def claim(self, task_id: UUID, owner: str = "somebody-else") -> store.ClaimedTask:
        """Take the task as another worker process would; asserts that it can be had."""
        task = await store.claim(self.runtime.db.fast, task_id, owner=owner, lease_seconds=30)
        assert task is not None
        return task

    async def expire(self, task_id: UUID) -> None:
        """Put the task back as the dispatcher does when a lease runs out."""
        from contactship_common.tasks.dispatcher import Dispatcher

        await self.sql("UPDATE tasks SET lease_until = now() - interval '1 second' WHERE id = %s", task_id)
        await Dispatcher(self.runtime).tick()

    async def notes(self, action: str) -> int:
        """How many effects of `record` or `failed` were committed."""
        [row] = await self.sql("SELECT count(*) AS n FROM audit_logs WHERE action = %s", action)
        return int(row["n"])

    async def calls(self) -> int:
        """How many rows of the journal were committed."""
        return int((await self.sql("SELECT count(*) AS n FROM ai_calls"))[0]["n"])
