"""The `ai` queue's handlers in this process."""

from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.handlers.summarize_lead import SummarizeLead
from contactship_ai_worker.handlers.summarize_matching import SummarizeMatching
from contactship_common.models import Batch, Lead, Person
from contactship_common.models.base import new_id
from contactship_common.runtime import Runtime
from contactship_common.tasks.catalog import LeadSummary, LeadSummaryBatch, TaskKind
from contactship_common.tasks.runner import Runner
from contactship_common.uow import Context, unit_of_work
from handler_testkit.model import Model


class Handlers:
    """`model` answers; `run` does one task as a worker would; `sql` looks at what came of it."""

    def __init__(self, runtime: Runtime, connection: "psycopg.AsyncConnection[dict[str, Any]]") -> None:
        self.runtime = runtime
        self.model = Model()
        self.engine = AIEngine(runtime.ai, providers=[self.model])
        self._connection = connection
        self.handlers = {
            LeadSummary.KIND: SummarizeLead(self.engine, runtime.ai),
            LeadSummaryBatch.KIND: SummarizeMatching(runtime.ai),
        }
        self.runner = Runner(runtime, self.handlers, owner="worker-1")

    @staticmethod
    async def connect(database_url: str) -> "psycopg.AsyncConnection[dict[str, Any]]":
        return await psycopg.AsyncConnection.connect(database_url, autocommit=True, row_factory=dict_row)

    async def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Run one statement on a connection of its own, committed at once."""
        cursor = await self._connection.execute(statement.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def lead(self, **fields: Any) -> UUID:
        """A new lead in the database; returns its id."""
        person, lead_id = Person(first_name="Ana", last_name="Gómez"), new_id()
        async with unit_of_work(self.runtime) as uow:
            uow.session.add(person)
            await uow.session.flush()
            uow.session.add(Lead(id=lead_id, person_id=person.id, email=f"{lead_id}@example.com", **fields))
        return lead_id

    async def stored(self, lead_id: UUID) -> dict[str, Any]:
        [row] = await self.sql("SELECT * FROM leads WHERE id = %s", lead_id)
        return row

    async def batch(self) -> UUID:
        """A batch that waits for its expansion."""
        batch = Batch(kind=LeadSummary.KIND, expanding=True)
        async with unit_of_work(self.runtime) as uow:
            uow.session.add(batch)
        return batch.id

    async def enqueue(self, task: TaskKind) -> UUID:
        async with unit_of_work(self.runtime, Context(actor="tester")) as uow:
            ref = uow.enqueue(task)
        return ref.id

    async def run(self, task_id: UUID) -> dict[str, Any]:
        """Let the task be due, run it once, and return its row."""
        await self.sql("UPDATE tasks SET run_at = now() WHERE id = %s AND status = 'queued'", task_id)
        await self.runner.run(task_id)
        [row] = await self.sql("SELECT * FROM tasks WHERE id = %s", task_id)
        return row

    async def do(self, task: TaskKind) -> dict[str, Any]:
        """Enqueue the task, run it once, and return its row."""
        return await self.run(await self.enqueue(task))
