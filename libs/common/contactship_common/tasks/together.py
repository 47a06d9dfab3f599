"""Tasks of one kind that are handled together: many in one transaction, where many wait.

A handler that says how (`TogetherHandler`) is woken once for many tasks. It takes up to `TOGETHER` that wait, writes
their effects with set-based statements, and all of them end in the same transaction, each with its own result. What it
leaves out, and all of them if anything goes wrong, is run one by one afterwards, as any task: one that cannot be
handled never takes others down.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
import structlog
from pydantic import ValidationError

from contactship_common import metrics, tracing
from contactship_common.db import DATABASE_AWAY, FastPool
from contactship_common.runtime import Runtime
from contactship_common.tasks import store
from contactship_common.tasks.catalog import KINDS, TaskKind
from contactship_common.tasks.handler import AnyHandler, Handler
from contactship_common.tasks.settle import Overtaken, Run, about, context_of, tell_ended
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import Context, UnitOfWork, unit_of_work

log = structlog.get_logger()

P = TypeVar("P", bound=TaskKind)

_MOST_ALONE = 32
"""Tasks of rounds that are run by themselves: with more under way, the next round waits."""
_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
"""A round waits no longer for what somebody else holds: by itself, each waits for its own."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of the tasks. What follows from it happens on behalf of `context`."""

    task: ClaimedTask
    payload: Any
    context: Context


class TogetherHandler(Handler[P, Any, Any]):
    """A handler whose tasks can be handled together. They have nothing to do outside the database."""

    async def record_together(self, uow: UnitOfWork, members: Sequence[Member]) -> Mapping[UUID, dict[str, Any]]:
        """Store the effects of those tasks for which that is simple, set-based, and return their results by task id.

        The others are run one by one; nothing may have been written for them here. Rows are locked in one order
        whatever the order of the members, because other rounds hold locks at the same time.
        """
        raise NotImplementedError


# Only first runs, so that what failed before is by itself; the priority, so that what is more urgent is not walked
# over. Nothing is waited for: what another round is just taking is not ours.
_CLAIM = f"""
WITH due AS MATERIALIZED (
     SELECT id FROM tasks
      WHERE queue = %(queue)s AND priority = %(priority)s AND status = 'queued' AND run_at <= now()
        AND kind = %(kind)s AND run_no = 0
      ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
{store.TAKE} FROM due WHERE tasks.id = due.id {store.TAKEN}
"""  # noqa: S608  # all constants

_FINISH = sa.text(f"""
UPDATE tasks SET {store.FINISHED.format(status="'succeeded'", counted=0, result="r.result", error="NULL")}
  FROM jsonb_to_recordset(CAST(:ended AS jsonb)) AS r(id uuid, run_no int, result jsonb)
 WHERE tasks.id = r.id AND tasks.run_no = r.run_no AND tasks.status = 'running'
RETURNING tasks.id, tasks.status
""")  # noqa: S608  # all constants


async def _claim(pool: FastPool, kind: type[TaskKind], *, owner: str, lease_seconds: float) -> list[ClaimedTask]:
    asked = {
        "queue": kind.QUEUE,
        "priority": kind.PRIORITY,
        "kind": kind.KIND,
        "limit": kind.TOGETHER,
        "owner": owner,
        "lease": lease_seconds,
    }
    async with pool.connection() as connection:
        rows = await (await connection.execute(_CLAIM, asked)).fetchall()
    return sorted((ClaimedTask(**row) for row in rows), key=lambda task: task.id)


@dataclass(slots=True)
class Together:
    """The rounds of one worker process, one of a kind at a time: what comes meanwhile makes the next one larger, and a
    storm leaves the machine room for whoever takes it in. `runs` are those whose leases are renewed; `alone` runs one
    claimed task."""

    runtime: Runtime
    handlers: Mapping[str, AnyHandler]
    owner: str
    runs: set[Run]
    alone: Callable[[ClaimedTask], Coroutine[Any, Any, None]]
    stopping: Callable[[], bool]
    _busy: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)
    _alone: set[asyncio.Task[None]] = field(default_factory=set)

    def handles(self, kind_name: str) -> bool:
        return isinstance(self.handlers.get(kind_name), TogetherHandler)

    async def run(self, kind_name: str) -> None:
        """Take what waits of this kind until nothing is left; leave it to the round that is going on, if there is one.
        Returns normally whatever happens."""
        self._asked.add(kind_name)
        if kind_name in self._busy:
            return
        self._busy.add(kind_name)
        try:
            while kind_name in self._asked and not self.stopping():
                self._asked.discard(kind_name)
                await self._round(KINDS[kind_name], self.handlers[kind_name])
        except DATABASE_AWAY as error:
            log.warning("task.claim_failed", kind=kind_name, error=type(error).__name__)
        except Exception:
            log.exception("task.claim_failed", kind=kind_name)
        finally:
            self._busy.discard(kind_name)
        if mine := set(self._alone):
            await asyncio.wait(mine)

    async def _round(self, kind: type[TaskKind], handler: AnyHandler) -> None:
        lease = self.runtime.settings.task_lease
        tasks = await _claim(self.runtime.db.claims, kind, owner=self.owner, lease_seconds=lease)
        if len(tasks) == kind.TOGETHER:
            self._asked.add(kind.KIND)  # there may be more
        if tasks:
            await self._handle(kind, handler, tasks)

    async def _handle(self, kind: type[TaskKind], handler: AnyHandler, tasks: Sequence[ClaimedTask]) -> None:
        done: set[UUID] = set()
        if len(tasks) > 1 and isinstance(handler, TogetherHandler):
            done = await self._record(kind, handler, tasks)
        # Beside the next round: one that waits for a lock must not hold up the others.
        for task in tasks:
            if task.id not in done:
                running = asyncio.create_task(self.alone(task))
                self._alone.add(running)
                running.add_done_callback(self._alone.discard)
        while len(self._alone) > _MOST_ALONE:
            await asyncio.wait(set(self._alone), return_when=asyncio.FIRST_COMPLETED)

    async def _record(
        self, kind: type[TaskKind], handler: TogetherHandler[Any], tasks: Sequence[ClaimedTask]
    ) -> set[UUID]:
        """The ids of those that have ended."""
        structlog.contextvars.clear_contextvars()
        started = time.perf_counter()
        runs: list[Run] = []
        for task in tasks:
            try:
                runs.append(Run(task, kind.model_validate(task.payload), handler, []))
            except ValidationError:
                continue  # said when it is run by itself
        self.runs.update(runs)
        metrics.TASKS_RUNNING.inc(len(runs))
        try:
            ended = await self._transaction(handler, runs)
        except Exception as error:
            # Whatever it was, it is reported by the run that it happens to again.
            log.warning("tasks.not_together", kind=kind.KIND, count=len(runs), error=type(error).__name__)
            return set()
        finally:
            self.runs.difference_update(runs)
            metrics.TASKS_RUNNING.dec(len(runs))
        seconds = time.perf_counter() - started
        for run in runs:
            if run.task.id in ended:
                metrics.TASKS_ENDED.labels(kind.KIND, "succeeded").inc()
                metrics.TASK_SECONDS.labels(kind.KIND).observe(seconds)
                log.info(
                    "task.ran",
                    task_id=str(run.task.id),
                    kind=kind.KIND,
                    run_no=run.task.run_no,
                    correlation_id=run.task.correlation_id,
                    outcome="succeeded",
                    ms=round(seconds * 1000),
                    together=len(ended),
                    **ended[run.task.id],
                )
        return set(ended)

    async def _transaction(self, handler: TogetherHandler[Any], runs: Sequence[Run]) -> dict[UUID, dict[str, str]]:
        """Those that have ended, each with what its log line carries.

        Raises:
            Overtaken: one of them is not ours any more; nothing was written.
        """
        with ExitStack() as spans:
            members, seen = [], {}
            for run in runs:
                task = run.task
                each = spans.enter_context(
                    tracing.span(f"task {task.kind}", "consumer", about(task), parent=task.traceparent)
                )
                members.append(Member(task, run.payload, context_of(task)))
                seen[task.id] = each
            async with unit_of_work(self.runtime) as uow:
                nobody = uow.context
                await uow.session.execute(sa.text(_LOCK_TIMEOUT))
                results = await handler.record_together(uow, members)
                uow.context = nobody
                await uow.flush()
                ours = [run for run in runs if run.task.id in results]
                await self._finish(uow, ours, results)
            for run in ours:
                seen[run.task.id].note({"contactship.task.outcome": "succeeded"})
        return {run.task.id: seen[run.task.id].log_fields for run in ours}

    async def _finish(self, uow: UnitOfWork, ours: Sequence[Run], results: Mapping[UUID, dict[str, Any]]) -> None:
        rows = [{"id": str(run.task.id), "run_no": run.task.run_no, "result": results[run.task.id]} for run in ours]
        if not rows:
            return
        found = await uow.session.execute(_FINISH, {"ended": json.dumps(rows)})
        now: dict[UUID, str] = {row.id: row.status for row in found}
        if len(now) < len(ours):
            raise Overtaken
        for run in ours:
            if now[run.task.id] == "queued":
                uow.ring(store.TaskRef(id=run.task.id, queue=run.task.queue, slot=None))
            else:
                tell_ended(uow, run.task, now[run.task.id])
            uow.forget(*run.payload.cache_keys())
