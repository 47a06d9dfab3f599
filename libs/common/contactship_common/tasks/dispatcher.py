"""The dispatcher: rings due tasks inside a bounded window and returns tasks of dead workers to the queue.

Any number may run side by side. A lost message, a flushed Redis, a delayed task and a backlog of 50,000 are all the
same to it: a due task that nobody has claimed for a while is rung (again), as long as the broker's queue is short.
"""

import asyncio
import time
from collections import Counter
from typing import Any
from uuid import UUID

import structlog

from contactship_common import metrics
from contactship_common.db import DATABASE_AWAY
from contactship_common.runtime import Runtime
from contactship_common.tasks.bell import message_for
from contactship_common.tasks.broker import messages_waiting
from contactship_common.tasks.catalog import KINDS, QUEUES

log = structlog.get_logger()

_WINDOW_PER_THREAD = 4
_SMALLEST_WINDOW = 16
_HURRY = 5

# The window is bounded by what really waits in the broker, asked for each time: however slow the handlers and however
# long the backlog, no more than a window of messages is outstanding, and a flushed broker is refilled at once.
# MATERIALIZED: as a plain subquery it may be run once a row, and then the LIMIT limits nothing.
_TAKE_DUE = """
WITH due AS MATERIALIZED (
     SELECT id FROM tasks
      WHERE queue = %(queue)s AND status = 'queued' AND run_at <= now()
        AND (published_at IS NULL OR published_at < now() - make_interval(secs => %(again)s))
      ORDER BY priority, run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE tasks SET published_at = now() FROM due WHERE tasks.id = due.id
RETURNING tasks.id, priority, run_at, kind, run_no
"""

_RETURN_EXPIRED = """
WITH lost AS MATERIALIZED (
     SELECT id FROM tasks WHERE status = 'running' AND lease_until < now()
      ORDER BY lease_until LIMIT 500 FOR UPDATE SKIP LOCKED)
UPDATE tasks SET status = 'queued', failures = failures + 1, run_at = now(), published_at = NULL,
       lease_until = NULL, lease_owner = NULL,
       error = jsonb_build_object('code', 'lease_expired', 'message', 'the worker was lost during this run')
  FROM lost WHERE tasks.id = lost.id
RETURNING tasks.id
"""

_THREADS = """
SELECT queue, sum(threads)::int AS threads FROM worker_heartbeats
 WHERE seen_at > now() - interval '30 seconds' AND queue IS NOT NULL GROUP BY queue
"""


def _rings(due: list[dict[str, Any]]) -> list[tuple[UUID, str | None]]:
    """One ring a task; of those that are handled together one for as many as a worker takes at once."""
    rings: list[tuple[UUID, str | None]] = []
    together: Counter[str] = Counter()
    for row in due:
        kind = KINDS.get(row["kind"])
        if kind is None or kind.TOGETHER == 1 or row["run_no"] or row["priority"] != kind.PRIORITY:
            rings.append((row["id"], None))
            continue
        if together[kind.KIND] % kind.TOGETHER == 0:
            rings.append((row["id"], kind.KIND))
        together[kind.KIND] += 1
    return rings


class Dispatcher:
    """Looks for due and lost tasks every tick."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._threads: dict[str, int] = {}
        self._ticks = 0
        self._patient_until = 0.0

    async def tick(self) -> int:
        """One look at everything; returns how many tasks were rung."""
        if self._ticks % 20 == 0:
            self._threads = {row["queue"]: row["threads"] for row in await self._rows(_THREADS)}
        self._ticks += 1
        if time.monotonic() >= self._patient_until:
            lost = await self._rows(_RETURN_EXPIRED)
            if lost:
                metrics.DISPATCHED.labels("returned").inc(len(lost))
                log.warning("task.lease_expired", count=len(lost))
        rung: list[dict[str, Any]] = []
        for queue in QUEUES:
            try:
                waiting = await asyncio.to_thread(messages_waiting, self.runtime.broker, queue)
            except Exception as error:  # whatever the broker's client raises, nobody can be rung now
                metrics.RINGS.labels(queue, "failed").inc()
                metrics.BROKER_UP.set(0)
                log.warning("dispatcher.broker_away", queue=queue, error=type(error).__name__)
                break
            metrics.BROKER_UP.set(1)
            rung += await self._ring_due(queue, waiting)
        return len(rung)

    async def _ring_due(self, queue: str, waiting: int) -> list[dict[str, Any]]:
        window = max(_SMALLEST_WINDOW, _WINDOW_PER_THREAD * self._threads.get(queue, 0))
        if waiting >= window:
            return []
        due = await self._rows(
            _TAKE_DUE, queue=queue, again=self.runtime.settings.task_ring_again, limit=window - waiting
        )
        if due:
            due.sort(key=lambda row: (row["priority"], row["run_at"]))
            sent = await asyncio.to_thread(self._send, queue, _rings(due))
            metrics.DISPATCHED.labels("rung").inc(sent)
        return due

    def _send(self, queue: str, rings: list[tuple[UUID, str | None]]) -> int:
        for sent, (task_id, together) in enumerate(rings):
            try:
                self.runtime.broker.enqueue(message_for(queue, task_id, together))
            except Exception as error:  # the rest is rung again later
                log.warning("dispatcher.broker_away", queue=queue, error=type(error).__name__)
                return sent
        return len(rings)

    async def _rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        async with self.runtime.db.fast.connection() as connection:
            cursor = await connection.execute(statement, parameters)
            return await cursor.fetchall()

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until `stop` is set; a database that is away is waited for."""
        while not stop.is_set():
            wait = self.runtime.settings.dispatcher_tick
            try:
                if await self.tick() >= _SMALLEST_WINDOW:
                    wait /= _HURRY  # there may be more than a window, and workers that are faster than a tick
            except DATABASE_AWAY as error:
                log.warning("dispatcher.database_away", error=type(error).__name__)
                wait = 1.0
                # Nobody could renew a lease meanwhile: who still works gets the time to do so.
                self._patient_until = time.monotonic() + wait + self.runtime.settings.task_lease / 2
            except Exception:
                log.exception("dispatcher.tick_failed")
                wait = 1.0
            try:
                async with asyncio.timeout(wait):
                    await stop.wait()
            except TimeoutError:
                continue
