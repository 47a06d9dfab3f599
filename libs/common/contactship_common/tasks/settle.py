"""Writing down how a run went: one transaction with everything it has to say, guarded by its `run_no`."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from sqlmodel import SQLModel

from contactship_common import tracing
from contactship_common.conversations.audience import user_room
from contactship_common.db import DATABASE_AWAY, is_database_away
from contactship_common.models import Task, TaskStatus
from contactship_common.outbound import callbacks
from contactship_common.runtime import Runtime
from contactship_common.tasks import journal, store
from contactship_common.tasks.catalog import TaskKind
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.outcomes import TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import Context, UnitOfWork, unit_of_work

log = structlog.get_logger()

_RETRY_SECONDS = 0.5
_REFUSALS = 5

Why = Literal["shutdown", "overtaken"]
Write = Callable[[UnitOfWork], Awaitable[None]]


class Overtaken(Exception):
    """A newer run owns the task: whatever this one did must not be written."""


@dataclass(slots=True, eq=False)
class Run:
    """One claimed task that runs in this process. `acted`: `work` has begun, so the outside world may have changed."""

    task: ClaimedTask
    payload: TaskKind
    handler: AnyHandler
    journal: list[SQLModel]
    work: asyncio.Future[Any] | None = None
    acted: bool = False
    ended_by: Why | None = None

    def end(self, why: Why) -> None:
        """Stop the run if it still works; a run that is recording is left to finish."""
        self.ended_by = self.ended_by or why
        if self.work is not None:
            self.work.cancel()


def transaction(runtime: Runtime, task: ClaimedTask) -> AbstractAsyncContextManager[UnitOfWork]:
    """A unit of work on behalf of whoever asked for the task."""
    return unit_of_work(runtime, context_of(task))


def context_of(task: ClaimedTask) -> Context:
    return Context(
        actor=task.requested_by or "system",
        request_id=task.correlation_id,
        traceparent=tracing.current_traceparent() or task.traceparent,
    )


def about(task: ClaimedTask) -> tracing.Attributes:
    """What the span of a run says."""
    return {
        "messaging.system": "contactship",
        "messaging.operation.type": "process",
        "messaging.destination.name": task.queue,
        "messaging.message.id": str(task.id),
        "contactship.task.kind": task.kind,
        "contactship.task.run_no": task.run_no,
        "contactship.request_id": task.correlation_id,
    }


async def settle(runtime: Runtime, run: Run, write: Write) -> None:
    """Commit `write` and the run's journal, tried again while PostgreSQL is away and the run is ours.

    What `work` got may have been paid for, so it is not thrown away for a restart of the database.

    Raises:
        Overtaken: the run is not ours any more; only its journal was written.
    """
    refusals = 0
    while run.ended_by != "overtaken":
        try:
            async with transaction(runtime, run.task) as uow:
                if run.journal:
                    await journal.write(uow.session, run.journal)
                await write(uow)
            return
        except Overtaken:
            break
        except DATABASE_AWAY as error:
            # A live server that refuses (a deadlock, a lock timeout) gets a few chances.
            refusals += not is_database_away(error)
            if refusals > _REFUSALS:
                raise
            log.warning("task.record_delayed", error=type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # jitter, not a secret
    await keep_journal(runtime, run)
    raise Overtaken


async def keep_journal(runtime: Runtime, run: Run) -> None:
    """Keep what an overtaken run did. Whoever watches the task is told to look again: what overtook it may have been
    its own commit, whose answer was lost with the connection."""
    async with unit_of_work(runtime) as uow:
        await journal.write(uow.session, run.journal)
        uow.forget(*run.payload.cache_keys())
        uow.task_ended(run.task.id)


async def end(
    uow: UnitOfWork,
    task: ClaimedTask,
    status: str,
    payload: TaskKind | None = None,
    *,
    result: dict[str, Any] | None = None,
    error: TaskError | None = None,
    counted: bool = False,
) -> None:
    """End the task in this transaction, or queue it once more where a fresh run was asked for.

    Raises:
        Overtaken: the run is not ours any more; nothing of this transaction may be committed.
    """
    await uow.flush()
    told = callbacks.takes_them(task.kind)
    ending: Any = {"result": result, "error": _told(error), "counted": counted}
    if told or uow.in_transaction:
        now = await store.finish(uow.session, task, status, **ending)
    else:  # this statement is all there is to commit
        now = await uow.runtime.endings.finish(task, status, **ending)
    if now is None:
        raise Overtaken
    if now == "queued":
        uow.ring(store.TaskRef(id=task.id, queue=task.queue, slot=None))
    else:
        tell_ended(uow, task, now)
        if told:
            await callbacks.publish(uow, [task.id])
    uow.forget(*(payload.cache_keys() if payload else ()))


def tell_ended(uow: UnitOfWork, task: ClaimedTask | Task, status: str) -> None:
    """Whoever waits for the task is woken, and a person who asked for it and is connected sees it end."""
    uow.task_ended(task.id)
    kind, _, user_id = (task.requested_by or "").partition(":")
    if kind == "user":
        shown = {
            "taskId": str(task.id),
            "kind": task.kind,
            "status": "completed" if status == TaskStatus.SUCCEEDED else status,
            "subjectId": str(task.subject_id) if task.subject_id else None,
        }
        uow.emit("task:updated", shown, to=[user_room(user_id)])


async def requeue(
    uow: UnitOfWork,
    task: ClaimedTask,
    error: TaskError,
    delay_seconds: float,
    *,
    counted: bool,
    keep_intent: bool = False,
) -> None:
    """Give the task back in this transaction.

    Raises:
        Overtaken: see `end`.
    """
    await uow.flush()
    if not await store.requeue(
        _where(uow),
        task,
        delay_seconds=max(0.0, delay_seconds),
        counted=counted,
        error=_told(error),
        keep_intent=keep_intent,
    ):
        raise Overtaken


def _where(uow: UnitOfWork) -> store.Where:
    """The transaction, if there is one by now; else this statement is all there is to commit."""
    return uow.session if uow.in_transaction else uow.runtime.db.fast


def _told(error: TaskError | None) -> dict[str, Any] | None:
    return {"code": error.code, "message": error.message} if error else None
