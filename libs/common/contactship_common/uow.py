"""The unit of work: one transaction, and everything that must happen with it or after it.

The edge (an API dependency, the task runner, a script) opens and commits it; feature code only uses it. Tasks and
audit rows are collected and written in one statement each just before the commit. What follows the commit (ringing
workers, forgetting cached answers, waking waiters) is best effort: its failure is counted, and loses nothing.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common import faults
from contactship_common.errors import ContactshipError
from contactship_common.invalidation import deletions
from contactship_common.models.audit import AuditLog
from contactship_common.models.base import new_id
from contactship_common.realtime import Event
from contactship_common.redis_together import Command
from contactship_common.runtime import Runtime
from contactship_common.tasks import store
from contactship_common.tasks.catalog import TaskKind
from contactship_common.tasks.store import TaskRef

log = structlog.get_logger()

RING_AT_MOST = 16
"""More tasks than this in one transaction are left to the dispatcher, which rings them inside a bounded window."""

_AUDIT = sa.insert(AuditLog.__table__)  # type: ignore[attr-defined]  # no objects: nobody looks at them again

TASK_ENDED_CHANNEL = "cs:task-ended"


@dataclass(frozen=True, slots=True)
class Context:
    """On whose behalf this happens; goes into audit rows and tasks."""

    actor: str = "system"
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(slots=True)
class _AfterCommit:
    ring: list[TaskRef] = field(default_factory=list)
    forget: dict[str, None] = field(default_factory=dict)
    ended: list[UUID] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    access_changed: dict[UUID, None] = field(default_factory=dict)


class UnitOfWork:
    """One transaction with its intentions."""

    def __init__(self, runtime: Runtime, context: Context) -> None:
        self.runtime = runtime
        self.context = context
        self._session: AsyncSession | None = None
        self._tasks: dict[str | UUID, tuple[TaskRef, dict[str, Any]]] = {}
        self._audit: list[dict[str, Any]] = []
        self._after = _AfterCommit()

    @property
    def session(self) -> AsyncSession:
        """Takes a connection at its first statement."""
        if self._session is None:
            self._session = self.runtime.db.sessions()
        return self._session

    def enqueue(
        self,
        task: TaskKind,
        *,
        delay_seconds: float = 0.0,
        max_wait_seconds: float | None = None,
        rerun: bool = False,
        priority: int | None = None,
    ) -> TaskRef:
        """Have this work done, once this transaction has committed.

        The same slot waiting or running already: the returned reference becomes that task (after `flush`). With
        `max_wait_seconds` the delay is a debounce: each call moves the run, at most to that age. `rerun`: if it is
        running already, run it once more afterwards.
        """
        slot = task.slot()
        priority = task.PRIORITY if priority is None else priority
        together = task.KIND if task.TOGETHER > 1 and priority == task.PRIORITY else None
        ref = TaskRef(id=new_id(), queue=task.QUEUE, slot=slot, together=together)
        key: str | UUID = slot or ref.id
        if key in self._tasks:
            ref, row = self._tasks[key]
            row["payload"] |= task.model_dump(mode="json", exclude_defaults=True)
            row["rerun"] = row["rerun"] or rerun
            row["priority"] = min(row["priority"], priority)
            if max_wait_seconds is None or row["max_wait"] is None:
                # Brought forward, as the database does it between transactions; only two debounces move the run.
                delay_seconds = min(row["delay"], delay_seconds)
                row["max_wait"] = None
            row["delay"] = delay_seconds
            return ref
        self._tasks[key] = (
            ref,
            {
                "id": str(ref.id),
                "kind": task.KIND,
                "queue": task.QUEUE,
                "priority": priority,
                "payload": task.model_dump(mode="json", exclude_defaults=True),
                "subject_id": str(subject) if (subject := task.subject_id()) else None,
                "slot": slot,
                "holds": task.HOLDS,
                "rerun": rerun,
                "max_attempts": self.runtime.max_attempts(task.QUEUE),
                "delay": delay_seconds,
                "max_wait": max_wait_seconds,
                "requested_by": self.context.actor,
                "correlation_id": self.context.request_id,
                "traceparent": self.context.traceparent,
            },
        )
        self.forget(*task.cache_keys())
        return ref

    async def enqueue_each(
        self, kind: type[TaskKind], field: str, subjects: sa.Select[UUID], *, priority: int | None = None
    ) -> int:
        """Have this work done for every id that `subjects` selects, in one statement and at once in this transaction;
        `field` is where the id goes in the payload. Where a task holds the slot already, nothing is added.

        Returns how many tasks were made. Nobody is rung: the dispatcher takes them as workers have room.
        """
        some_id = new_id()
        sample = kind.model_validate({field: some_id})
        slot = sample.slot()
        if slot is None or not slot.endswith(str(some_id)) or sample.subject_id() != some_id:
            raise TypeError(f"{kind.KIND} cannot be queued by subject: its slot must end in the subject's id")
        return await store.enqueue_each(
            self.session,
            subjects,
            {
                "kind": kind.KIND,
                "queue": kind.QUEUE,
                "priority": kind.PRIORITY if priority is None else priority,
                "field": field,
                "slot": slot.removesuffix(str(some_id)),
                "holds": kind.HOLDS,
                "max_attempts": self.runtime.max_attempts(kind.QUEUE),
                "requested_by": self.context.actor,
                "correlation_id": self.context.request_id,
                "traceparent": self.context.traceparent,
            },
        )

    async def store_with_tasks(self, insert_rows: str, parameters: Mapping[str, Any]) -> set[UUID]:
        """Insert rows and the collected tasks that are about them, in one statement and a transaction of its own: for
        what comes in faster than a session can take it. What follows in this unit of work is another transaction.

        `insert_rows` may pass over rows that are there already, and their tasks with them; it returns the `id` of each
        new one, as this does. Workers are rung when the unit of work is committed.
        """
        pending, self._tasks = self._tasks, {}
        ring = len(pending) <= RING_AT_MOST
        rows = [row for _, row in pending.values()]
        stored = await store.enqueue_new(self.runtime.db.fast, insert_rows, parameters, rows, ring=ring)
        for ref, row in pending.values():
            if UUID(row["subject_id"]) in stored:
                ref.inserted = ref.due = True
                if ring:
                    self.ring(ref)
        return stored

    @property
    def in_transaction(self) -> bool:
        """A statement has been executed in it."""
        return self._session is not None and self._session.in_transaction()

    @property
    def is_untouched(self) -> bool:
        """Nothing has been read, written or collected in it yet."""
        return self._session is None and not (self._tasks or self._audit)

    async def write_with_tasks(self, steps: str, found: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """Run `steps` (what stands in a WITH) with the collected tasks, in one statement and a transaction of its own:
        for what happens most. What follows in this unit of work is another transaction.

        `found` is a SELECT from the steps; returns its first row. Without one, no task is queued. Tasks are not rung:
        this is for those that are to wait a while.
        """
        pending, self._tasks = self._tasks, {}
        rows = [row for _, row in pending.values()]
        return await store.write_with_tasks(self.runtime.db.fast, steps, found, parameters, rows)

    async def enqueue_if(
        self, task: TaskKind, steps: str, parameters: Mapping[str, Any], **options: Any
    ) -> TaskRef | None:
        """Have this work done if `asked`, in which `steps` (what stands in a WITH) end, has a row; in one statement and
        a transaction of its own: for what happens most. `options` are those of `enqueue`.

        None: nothing was asked, and nothing has happened.
        """
        ref = self.enqueue(task, **options)
        _, row = self._tasks.pop(ref.slot or ref.id)
        found = await store.enqueue_if(self.runtime.db.fast, steps, parameters, row)
        if found is None:
            return None
        ref.id, ref.status, ref.inserted, ref.due = (found[name] for name in ("id", "status", "inserted", "due"))
        if ref.due:
            self.ring(ref)
        return ref

    def audit(
        self, action: str, entity_type: str | None = None, entity_id: object = None, *, actor: str = "", **data: Any
    ) -> None:
        """Record an act in the same transaction. `data` carries no secret and no unmasked personal data; `actor` is
        for acts that make the caller known, such as a login."""
        self._audit.append(
            {
                "id": new_id(),
                "actor": actor or self.context.actor,
                "action": action,
                "entity_type": entity_type,
                "entity_id": str(entity_id) if entity_id is not None else None,
                "ip": self.context.ip,
                "user_agent": self.context.user_agent,
                "request_id": self.context.request_id,
                "data": data,
            }
        )

    def forget(self, *keys: str) -> None:
        """Drop these cached answers after the commit and before the client hears of it."""
        self._after.forget.update(dict.fromkeys(keys))

    def task_ended(self, *task_ids: UUID) -> None:
        """Wake whoever waits for these tasks, after the commit."""
        self._after.ended.extend(task_ids)

    def emit(self, event: str, data: dict[str, Any], *, to: Sequence[str]) -> None:
        """Tell connected people after the commit; `to` are rooms. Best effort: whoever misses it reads it over REST."""
        self._after.events.append(Event(event, data, to))

    def access_changed(self, user_id: UUID) -> None:
        """What this person may do has changed: every gateway looks at it after the commit."""
        self._after.access_changed[user_id] = None

    def ring(self, ref: TaskRef) -> None:
        """Wake a worker for this task after the commit."""
        self._after.ring.append(ref)

    async def flush(self) -> None:
        """Write what has been collected; afterwards task references carry their final ids."""
        if self._session is not None:
            await self._session.flush()
        if self._tasks:
            pending, self._tasks = self._tasks, {}
            ring = len(pending) <= RING_AT_MOST
            found = await store.enqueue(self.session, [row for _, row in pending.values()], ring=ring)
            for key, (ref, _) in pending.items():
                row = found[key]
                ref.id, ref.status, ref.inserted, ref.due = row.id, row.status, row.inserted, row.due
                if not ref.inserted:
                    ref.together = None  # it may have run before
                if ring and ref.due:
                    self.ring(ref)
        if self._audit:
            rows, self._audit = self._audit, []
            await self.session.execute(_AUDIT, rows)

    async def commit(self) -> None:
        await self.flush()
        if self._session is not None:
            await self._session.commit()
        await self._after_commit()

    async def rollback(self) -> None:
        self._tasks.clear()
        self._audit.clear()
        self._after = _AfterCommit()
        if self._session is not None:
            await self._session.rollback()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _after_commit(self) -> None:
        """It is committed: whatever goes wrong from here on, nobody may hear that it failed, and do it again."""
        after, self._after = self._after, _AfterCommit()
        try:
            await self._tell(after)
        except Exception as error:
            log.exception("commit.not_told")
            faults.report(error, "commit.not_told", request_id=self.context.request_id)
            self.runtime.invalidations.owe(after.forget)

    async def _tell(self, after: _AfterCommit) -> None:
        for ref in after.ring:
            self.runtime.bell.ring(ref.queue, ref.id, ref.together)
        if after.forget or after.ended:
            await _tell_redis(self.runtime, after.forget, after.ended)
        for user_id in after.access_changed:
            await self.runtime.realtime.access_changed(user_id)
        if after.events:
            await self.runtime.realtime.send(*after.events)


async def _tell_redis(runtime: Runtime, forget: Iterable[str], ended: Iterable[UUID]) -> None:
    keys = list(forget)
    commands: list[Command] = [("DEL", *deletions(keys))] if keys else []
    commands += [("PUBLISH", TASK_ENDED_CHANNEL, str(task_id)) for task_id in ended]
    if await runtime.telling.ask(*commands) is None and keys and runtime.settings.default_cache_ttl:
        runtime.invalidations.owe(keys)


@asynccontextmanager
async def unit_of_work(runtime: Runtime, context: Context | None = None) -> AsyncIterator[UnitOfWork]:
    """Open a unit of work, commit it at the end, roll it back on an error.

    An error class with `keeps_effects = True` commits what was recorded and then goes on its way.
    """
    uow = UnitOfWork(runtime, context or Context())
    try:
        try:
            yield uow
        except ContactshipError as error:
            if error.keeps_effects:
                await uow.commit()
            else:
                await uow.rollback()
            raise
        except BaseException:
            await uow.rollback()
            raise
        await uow.commit()
    finally:
        await uow.close()
