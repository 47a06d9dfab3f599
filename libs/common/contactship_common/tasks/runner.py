"""Running tasks: claim, load, work, record. An actor never raises, whatever happens; the row says how it went."""

import asyncio
import random
import time
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlmodel import SQLModel

from contactship_common import metrics
from contactship_common.db import DATABASE_AWAY, is_database_away
from contactship_common.runtime import Runtime
from contactship_common.tasks import journal, store
from contactship_common.tasks.catalog import KINDS, TaskKind
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.outcomes import Done, Permanent, RetryLater, Skip, TaskError, Transient
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import Context, UnitOfWork, unit_of_work

log = structlog.get_logger()

_MAX_BACKOFF_SECONDS = 600.0
_UNKNOWN_KIND_DELAY_SECONDS = 30.0
_RECORD_RETRY_SECONDS = 0.5
_RECORD_REFUSALS = 5
_HAND_BACK_SECONDS = 3.0


def _copies(rows: list[SQLModel]) -> list[SQLModel]:
    """Fresh objects for one transaction: those of a rolled-back session cannot be added to the next."""
    return [type(row)(**row.model_dump()) for row in rows]


class Overtaken(Exception):
    """A newer run owns the task: whatever this one did must not be written."""


@dataclass(slots=True, eq=False)
class Run:
    """One claimed task that runs in this process."""

    task: ClaimedTask
    payload: TaskKind
    handler: AnyHandler
    journal: list[SQLModel]
    work: asyncio.Task[Any] | None = None
    ended_by: Literal["shutdown", "overtaken"] | None = None

    def end(self, why: Literal["shutdown", "overtaken"]) -> None:
        """Stop the run if it still works; a run that is recording is left to finish."""
        self.ended_by = self.ended_by or why
        if self.work is not None:
            self.work.cancel()


class Runner:
    """Runs the tasks of one worker process. `handlers` maps kind names to handlers."""

    def __init__(
        self, runtime: Runtime, handlers: dict[str, AnyHandler], *, owner: str, max_run_seconds: float = 0.0
    ) -> None:
        self.runtime = runtime
        self.handlers = handlers
        self.owner = owner
        self.max_run_seconds = max_run_seconds
        self.runs: dict[UUID, Run] = {}
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, task_id: UUID) -> None:
        """Claim the task and see it through. Returns normally whatever happens."""
        if self.draining:
            return
        settings = self.runtime.settings
        try:
            task = await store.claim(self.runtime.db.fast, task_id, owner=self.owner, lease_seconds=settings.task_lease)
        except DATABASE_AWAY as error:
            log.warning("task.claim_failed", task_id=str(task_id), error=type(error).__name__)
            return
        if task is None:
            return
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            task_id=str(task.id), kind=task.kind, run_no=task.run_no, correlation_id=task.correlation_id
        )
        metrics.TASKS_RUNNING.inc()
        started = time.perf_counter()
        outcome = "error"
        try:
            outcome = await self._see_through(task)
        except Overtaken:
            outcome = "overtaken"
            log.warning("task.overtaken")
        except DATABASE_AWAY as error:
            # The lease runs out and the dispatcher returns the task to the queue.
            log.warning("task.not_recorded", error=type(error).__name__)
        except Exception:
            log.exception("task.broke")
        finally:
            self.runs.pop(task.id, None)
            if not self.runs:
                self._idle.set()
            metrics.TASKS_RUNNING.dec()
            metrics.TASKS_ENDED.labels(task.kind, outcome).inc()
            metrics.TASK_SECONDS.labels(task.kind).observe(time.perf_counter() - started)
            log.info("task.ran", outcome=outcome, ms=round((time.perf_counter() - started) * 1000))

    async def _see_through(self, task: ClaimedTask) -> str:
        kind, handler = KINDS.get(task.kind), self.handlers.get(task.kind)
        if kind is None or handler is None:
            # A newer release queued it, or it came to the wrong worker: leave it for one that knows it.
            late = RetryLater("unknown_kind", "no worker knows this kind", delay_seconds=_UNKNOWN_KIND_DELAY_SECONDS)
            async with self._settling(task) as uow:
                await self._requeue(uow, task, late, late.delay_seconds, counted=False)
            return "unknown_kind"
        try:
            payload = kind.model_validate(task.payload)
        except ValidationError as error:
            wrong = Permanent("bad_payload", "the task's payload does not fit its kind")
            log.error("task.payload_refused", fields=[".".join(map(str, e["loc"])) for e in error.errors()])
            async with self._settling(task) as uow:
                await self._end(uow, task, "failed", error=wrong)
            return "failed"
        run = Run(task, payload, handler, journal.open_journal())
        self.runs[task.id] = run
        self._idle.clear()
        if task.failures >= task.max_attempts:
            return await self._fail(run, Transient("attempts_used_up", "the worker was lost during every attempt"))
        if kind.ONCE and task.intent_at is not None:
            return await self._fail(
                run, Permanent("unknown", "an earlier run may have done this already; it is not done twice")
            )
        return await self._attempt(run)

    async def _attempt(self, run: Run) -> str:
        task, payload, handler = run.task, run.payload, run.handler
        try:
            loaded = await self._load(run)
            if isinstance(loaded, Done):
                await self._record(run, lambda uow: self._end(uow, task, "succeeded", payload, result=loaded.result))
                return "succeeded"
            if isinstance(loaded, Skip):
                skipped = Permanent("skipped", loaded.reason)
                await self._record(run, lambda uow: self._end(uow, task, "cancelled", payload, error=skipped))
                return "cancelled"
            result = await self._work(run, loaded)

            async def record(uow: UnitOfWork) -> None:
                shown = await handler.record(uow, payload, task, loaded, result)
                await self._end(uow, task, "succeeded", payload, result=shown or {})

            await self._record(run, record)
        except Overtaken:
            raise
        except DATABASE_AWAY:
            raise
        except asyncio.CancelledError:
            return await self._ended_early(run)
        except Permanent as error:
            return await self._fail(run, error)
        except RetryLater as error:
            if task.waited_seconds > payload.MAX_WAIT_SECONDS:
                return await self._fail(run, error)
            return await self._retry(run, error, error.delay_seconds, counted=False)
        except Exception as error:
            return await self._failed_run(run, error)
        return "succeeded"

    async def _load(self, run: Run) -> Any:
        """The handler's `load` in a transaction; a `once` kind notes its intent in the same one."""
        async with self.runtime.db.sessions() as session, session.begin():
            loaded = await run.handler.load(session, run.payload, run.task)
            if run.payload.ONCE and not isinstance(loaded, Done | Skip) and not await store.intend(session, run.task):
                raise Overtaken
            return loaded

    async def _work(self, run: Run, loaded: Any) -> Any:
        limit = run.payload.LIMIT_SECONDS
        if self.max_run_seconds:
            limit = min(limit, self.max_run_seconds)
        if run.ended_by is not None:
            raise asyncio.CancelledError
        # A task of its own, so that ending the run cancels the work and never the recording of its outcome.
        run.work = asyncio.ensure_future(run.handler.work(run.payload, loaded))
        try:
            async with asyncio.timeout(limit):
                return await run.work
        except TimeoutError as error:
            raise Transient("timeout", f"the run took longer than {limit:g} s") from error
        finally:
            if not run.work.done():
                run.work.cancel()
            run.work = None

    async def _ended_early(self, run: Run) -> str:
        """The work was cancelled: hand the task back, uncounted, or drop it where a newer run has it."""
        if run.ended_by == "overtaken":
            await self._keep_journal(run)
            return "overtaken"
        if run.ended_by is None:
            raise asyncio.CancelledError
        reason = RetryLater("handed_back", "the worker was stopped", delay_seconds=0)
        return await self._retry(run, reason, 0, counted=False, keep_intent=run.payload.ONCE)

    async def _failed_run(self, run: Run, error: Exception) -> str:
        if isinstance(error, TaskError):
            told = error
            log.warning("task.run_failed", code=error.code)
        else:
            told = Transient("internal_error", f"the run ended with {type(error).__name__}")
            log.exception("task.run_failed")
        if run.payload.ONCE and not isinstance(error, TaskError):
            # Nobody knows how far it came: a person or the vendor's callback settles it.
            return await self._fail(run, Permanent("unknown", "the run broke off after it may have acted"))
        if run.task.failures + 1 >= run.task.max_attempts:
            return await self._fail(run, told, counted=True)
        base = self.runtime.settings.task_backoff * 2**run.task.failures
        delay = min(base, _MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, not a secret
        return await self._retry(run, told, delay, counted=True)

    async def _fail(self, run: Run, error: TaskError, *, counted: bool = False) -> str:
        async def record(uow: UnitOfWork) -> None:
            await run.handler.failed(uow, run.payload, run.task, error)
            await self._end(uow, run.task, "failed", run.payload, error=error, counted=counted)

        await self._record(run, record)
        log.warning("task.failed", code=error.code)
        return "failed"

    async def _retry(
        self, run: Run, error: TaskError, delay: float, *, counted: bool, keep_intent: bool = False
    ) -> str:
        async def record(uow: UnitOfWork) -> None:
            await self._requeue(uow, run.task, error, delay, counted=counted, keep_intent=keep_intent)

        await self._record(run, record)
        return "retried" if counted else "postponed"

    async def _record(self, run: Run, write: Any) -> None:
        """One transaction with everything the run has to say, tried again while PostgreSQL is away and the run ours.

        What `work` got may have been paid for, so it is not thrown away for a restart of the database.
        """
        refusals = 0
        while True:
            try:
                async with self._settling(run.task) as uow:
                    uow.session.add_all(_copies(run.journal))
                    await write(uow)
                return
            except Overtaken:
                await self._keep_journal(run)
                raise
            except DATABASE_AWAY as error:
                if run.ended_by == "overtaken":
                    raise Overtaken from error
                # A live server that refuses (a deadlock, a lock timeout) gets a few chances.
                refusals += not is_database_away(error)
                if refusals > _RECORD_REFUSALS:
                    raise
                log.warning("task.record_delayed", error=type(error).__name__)
                await asyncio.sleep(_RECORD_RETRY_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311

    async def _keep_journal(self, run: Run) -> None:
        if run.journal:
            async with unit_of_work(self.runtime) as uow:
                uow.session.add_all(_copies(run.journal))

    def _settling(self, task: ClaimedTask) -> Any:
        context = Context(
            actor=task.requested_by or "system", request_id=task.correlation_id, traceparent=task.traceparent
        )
        return unit_of_work(self.runtime, context)

    async def _end(
        self,
        uow: UnitOfWork,
        task: ClaimedTask,
        status: str,
        payload: TaskKind | None = None,
        *,
        result: dict[str, Any] | None = None,
        error: TaskError | None = None,
        counted: bool = False,
    ) -> None:
        await uow.flush()
        told = {"code": error.code, "message": error.message} if error else None
        now = await store.finish(uow.session, task, status, result=result, error=told, counted=counted)
        if now is None:
            raise Overtaken
        if now == "queued":
            uow.ring(store.TaskRef(id=task.id, queue=task.queue, slot=None))
        else:
            uow.task_ended(task.id)
        uow.forget(*(payload.cache_keys() if payload else ()))

    async def _requeue(
        self,
        uow: UnitOfWork,
        task: ClaimedTask,
        error: TaskError,
        delay: float,
        *,
        counted: bool,
        keep_intent: bool = False,
    ) -> None:
        told = {"code": error.code, "message": error.message}
        if not await store.requeue(
            uow.session, task, delay_seconds=delay, counted=counted, error=told, keep_intent=keep_intent
        ):
            raise Overtaken

    async def renew_leases(self) -> None:
        """Renew all running tasks every third of a lease, for as long as the process lives."""
        lease = self.runtime.settings.task_lease
        while True:
            await asyncio.sleep(lease / 3)
            mine = {run.task.id: run for run in list(self.runs.values())}
            if not mine:
                continue
            try:
                kept = await store.renew(
                    self.runtime.db.fast,
                    [(run.task.id, run.task.run_no) for run in mine.values()],
                    lease_seconds=lease,
                )
            except DATABASE_AWAY as error:
                log.warning("lease.renewal_failed", error=type(error).__name__)
                continue
            for task_id, run in mine.items():
                if task_id not in kept and self.runs.get(task_id) is run:
                    run.end("overtaken")

    async def drain(self, grace_seconds: float) -> None:
        """Claim nothing more, let runs finish for `grace_seconds`, then cancel them and hand their tasks back."""
        self.draining = True
        if await self._idle_within(grace_seconds):
            return
        for run in list(self.runs.values()):
            run.end("shutdown")
        if not await self._idle_within(_HAND_BACK_SECONDS):
            log.warning("runner.not_idle", running=len(self.runs))

    async def _idle_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
