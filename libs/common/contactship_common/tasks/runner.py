"""Running tasks: claim, load, work, record. An actor never raises, whatever happens; the row says how it went."""

import asyncio
import random
import time
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError

from contactship_common import faults, metrics, tracing
from contactship_common.db import DATABASE_AWAY, is_database_away
from contactship_common.runtime import Runtime
from contactship_common.tasks import journal, store
from contactship_common.tasks.catalog import KINDS
from contactship_common.tasks.claims import Claims
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.outcomes import Again, Done, GivenUp, Permanent, RetryLater, Skip, TaskError, Transient
from contactship_common.tasks.settle import Overtaken, Run, about, end, keep_journal, requeue, settle, transaction
from contactship_common.tasks.store import ClaimedTask
from contactship_common.tasks.together import Together
from contactship_common.uow import UnitOfWork

log = structlog.get_logger()

_MAX_BACKOFF_SECONDS = 600.0
_UNKNOWN_KIND_DELAY_SECONDS = 30.0
_CLEAN_UP_SECONDS = 2.0
_HAND_BACK_SECONDS = 3.0


class _EndedEarly(Exception):
    """The run was ended from outside before its work was done."""


def _report(error: Exception, where: str, task: ClaimedTask) -> None:
    faults.report(error, where, kind=task.kind, request_id=task.correlation_id)


class Runner:
    """Runs the tasks of one worker process. `handlers` maps kind names to handlers."""

    def __init__(
        self, runtime: Runtime, handlers: dict[str, AnyHandler], *, owner: str, max_run_seconds: float = 0.0
    ) -> None:
        self.runtime = runtime
        self.handlers = handlers
        self.owner = owner
        self.max_run_seconds = max_run_seconds
        # A set and not a map by id: a task that was lost to a stalled lease can run here twice at once, fenced.
        self.runs: set[Run] = set()
        self.draining = False
        self._handing_back = False
        self.together = Together(runtime, handlers, owner, self.runs, self._run, lambda: self.draining)
        lease = runtime.settings.task_lease
        self._claims = Claims(runtime.db, owner=owner, lease_seconds=lease, stopping=lambda: self.draining)
        self._inside = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, task_id: UUID, kind: str | None = None) -> None:
        """Claim the task and see it through; with `kind` all that wait of this kind, which is handled together.
        Returns normally whatever happens."""
        if self.draining:
            return
        # Counted from before the claim, so that a shutdown at this moment waits for it.
        self._inside += 1
        self._idle.clear()
        try:
            if kind is not None and self.together.handles(kind):
                await self.together.run(kind)
            elif (task := await self._claims.claim(task_id)) is not None:
                await self._run(task)
        finally:
            self._inside -= 1
            if not self._inside:
                self._idle.set()

    async def _run(self, task: ClaimedTask) -> None:
        structlog.contextvars.clear_contextvars()
        with tracing.span(f"task {task.kind}", "consumer", about(task), parent=task.traceparent) as span:
            structlog.contextvars.bind_contextvars(
                task_id=str(task.id),
                kind=task.kind,
                run_no=task.run_no,
                correlation_id=task.correlation_id,
                **span.log_fields,
            )
            await self._run_inside(task, span)

    async def _run_inside(self, task: ClaimedTask, span: tracing.Span) -> None:
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
        except Exception as error:
            log.exception("task.broke")
            _report(error, "task.broke", task)
        finally:
            seconds = time.perf_counter() - started
            metrics.TASKS_RUNNING.dec()
            metrics.TASKS_ENDED.labels(task.kind, outcome).inc()
            metrics.TASK_SECONDS.labels(task.kind).observe(seconds)
            span.note({"contactship.task.outcome": outcome})
            if outcome in ("error", "failed"):
                span.fail(outcome)
            log.info("task.ran", outcome=outcome, ms=round(seconds * 1000))

    async def _see_through(self, task: ClaimedTask) -> str:
        kind, handler = KINDS.get(task.kind), self.handlers.get(task.kind)
        if kind is None or handler is None:
            # A newer release queued it, or it came to the wrong worker: leave it for one that knows it.
            late = RetryLater("unknown_kind", "no worker knows this kind", delay_seconds=_UNKNOWN_KIND_DELAY_SECONDS)
            async with transaction(self.runtime, task) as uow:
                await requeue(uow, task, late, late.delay_seconds, counted=False)
            return "unknown_kind"
        try:
            payload = kind.model_validate(task.payload)
        except ValidationError as error:
            wrong = Permanent("bad_payload", "the task's payload does not fit its kind")
            log.error("task.payload_refused", fields=[".".join(map(str, e["loc"])) for e in error.errors()])
            async with transaction(self.runtime, task) as uow:
                await end(uow, task, "failed", error=wrong)
            return "failed"
        run = Run(task, payload, handler, journal.open_journal())
        self.runs.add(run)
        if self._handing_back:
            run.end("shutdown")
        try:
            if task.failures >= task.max_attempts:
                return await self._fail(run, Transient("attempts_used_up", "the worker was lost during every attempt"))
            if kind.ONCE and task.intent_at is not None:
                return await self._unknown(run, "an earlier run may have done this already; it is not done twice")
            return await self._attempt(run)
        finally:
            self.runs.discard(run)

    async def _attempt(self, run: Run) -> str:
        try:
            loaded = await self._load(run)
            if isinstance(loaded, Done):
                return await self._end(run, "succeeded", result=loaded.result)
            if isinstance(loaded, Skip):
                return await self._end(run, "cancelled", error=Permanent("skipped", loaded.reason))
            return await self._record(run, loaded, await self._work(run, loaded))
        except Overtaken:
            raise
        except _EndedEarly:
            return await self._ended_early(run)
        except Permanent as error:
            return await self._fail(run, error)
        except Exception as error:
            return await self._failed_run(run, error)

    async def _load(self, run: Run) -> Any:
        """The handler's `load` in a transaction; a `once` kind notes its intent in the same one."""
        limit = self._limit(run)
        scope = asyncio.timeout(limit)
        try:
            async with scope, self.runtime.db.sessions() as session, session.begin():
                loaded = await run.handler.load(session, run.payload, run.task)
                acts = run.payload.ONCE and not isinstance(loaded, Done | Skip)
                if acts and not await store.intend(session, run.task):
                    raise Overtaken
                return loaded
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise Transient("timeout", f"loading took longer than {limit:g} s") from error

    async def _work(self, run: Run, loaded: Any) -> Any:
        if run.ended_by is not None:
            raise _EndedEarly
        limit = self._limit(run)
        run.acted = True
        # A task of its own, so that ending the run cancels the work and never the recording of its outcome.
        run.work = work = asyncio.ensure_future(run.handler.work(run.payload, loaded))
        try:
            await asyncio.wait({work}, timeout=limit)
            late = not work.done()
            if late:
                work.cancel()
                # Not for longer: work may swallow its cancellation.
                await asyncio.wait({work}, timeout=_CLEAN_UP_SECONDS)
        finally:
            run.work = None
            work.cancel()
            work.add_done_callback(lambda w: w.cancelled() or w.exception())  # never "was never retrieved"
        if work.done() and not work.cancelled():
            error = work.exception()
            if error is None:
                return work.result()
            if isinstance(error, TaskError) or not (late or run.ended_by):
                raise error
        if run.ended_by is not None:
            raise _EndedEarly
        if not late:
            raise RuntimeError("the work cancelled itself")
        if run.payload.ONCE:
            raise Permanent("unknown", f"the run took longer than {limit:g} s and may have acted")
        raise Transient("timeout", f"the run took longer than {limit:g} s")

    def _limit(self, run: Run) -> float:
        limit = run.payload.LIMIT_SECONDS
        return min(limit, self.max_run_seconds) if self.max_run_seconds else limit

    async def _record(self, run: Run, loaded: Any, result: Any) -> str:
        outcome = "succeeded"

        async def write(uow: UnitOfWork) -> None:
            nonlocal outcome
            told = await run.handler.record(uow, run.payload, run.task, loaded, result)
            if isinstance(told, Again):
                outcome = "postponed"
                again = RetryLater(told.code, told.message, delay_seconds=told.delay_seconds)
                await requeue(uow, run.task, again, again.delay_seconds, counted=False)
            elif isinstance(told, GivenUp):
                outcome = "failed"
                await end(uow, run.task, "failed", run.payload, error=Permanent(told.code, told.message))
            else:
                await end(uow, run.task, "succeeded", run.payload, result=told or {})

        try:
            await settle(self.runtime, run, write)
        except (Overtaken, Permanent):
            raise
        except Exception as error:
            if run.payload.ONCE:
                # The work is done: whatever recording says, it must not be done again.
                log.exception("task.record_failed")
                _report(error, "task.record_failed", run.task)
                return await self._unknown(run, f"it was done, but recording it ended with {type(error).__name__}")
            raise
        return outcome

    async def _end(self, run: Run, status: str, **told: Any) -> str:
        await settle(self.runtime, run, lambda uow: end(uow, run.task, status, run.payload, **told))
        return status

    async def _ended_early(self, run: Run) -> str:
        """The work was cancelled: hand the task back, uncounted, or drop it where a newer run has it."""
        if run.ended_by == "overtaken":
            await keep_journal(self.runtime, run)
            return "overtaken"
        reason = RetryLater("handed_back", "the worker was stopped", delay_seconds=0)
        return await self._retry(run, reason, 0, counted=False, keep_intent=run.payload.ONCE and run.acted)

    async def _failed_run(self, run: Run, error: Exception) -> str:
        if isinstance(error, TaskError):
            told = error
            log.warning("task.run_failed", code=error.code)
        elif not run.acted and isinstance(error, DATABASE_AWAY) and is_database_away(error):
            wait = self.runtime.settings.task_backoff
            told = RetryLater("database_away", "the database could not be reached", delay_seconds=wait)
            log.warning("task.load_failed", error=type(error).__name__)
        else:
            told = Transient("internal_error", f"the run ended with {type(error).__name__}")
            log.error("task.run_failed", exc_info=error)
            _report(error, "task.run_failed", run.task)
            if run.payload.ONCE and run.acted:
                # Nobody knows how far it came: a person or the vendor's callback settles it.
                return await self._unknown(run, "the run broke off after it may have acted")
        if isinstance(told, RetryLater):
            if run.task.waited_seconds > run.payload.MAX_WAIT_SECONDS and not told.patient:
                return await self._fail(run, told)
            return await self._retry(run, told, told.delay_seconds, counted=False)
        if run.task.failures + 1 >= run.task.max_attempts:
            return await self._fail(run, told, counted=True)
        base = self.runtime.settings.task_backoff * 2**run.task.failures
        delay = min(base, _MAX_BACKOFF_SECONDS) * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, not a secret
        return await self._retry(run, told, delay, counted=True)

    async def _unknown(self, run: Run, message: str) -> str:
        return await self._fail(run, Permanent("unknown", message))

    async def _fail(self, run: Run, error: TaskError, *, counted: bool = False) -> str:
        async def write(uow: UnitOfWork) -> None:
            await run.handler.failed(uow, run.payload, run.task, error)
            await end(uow, run.task, "failed", run.payload, error=error, counted=counted)

        log.warning("task.failed", code=error.code)
        try:
            await settle(self.runtime, run, write)
        except Overtaken:
            raise
        except DATABASE_AWAY:
            raise
        except Exception as broken:
            # A broken `failed` step must not keep the task alive for ever.
            log.exception("task.failed_step_broke")
            _report(broken, "task.failed_step_broke", run.task)
            return await self._end(run, "failed", error=error, counted=counted)
        return "failed"

    async def _retry(
        self, run: Run, error: TaskError, delay: float, *, counted: bool, keep_intent: bool = False
    ) -> str:
        async def write(uow: UnitOfWork) -> None:
            await requeue(uow, run.task, error, delay, counted=counted, keep_intent=keep_intent)

        await settle(self.runtime, run, write)
        return "retried" if counted else "postponed"

    async def renew_leases(self) -> None:
        """Renew all running tasks every third of a lease, for as long as the process lives."""
        lease = self.runtime.settings.task_lease
        due = time.monotonic() + lease / 3
        while True:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            # From the start of this renewal, not its end: a busy loop that is late once must not be late twice.
            due = time.monotonic() + lease / 3
            mine = list(self.runs)
            if not mine:
                continue
            try:
                kept = await store.renew(
                    self.runtime.db.claims, [(run.task.id, run.task.run_no) for run in mine], lease_seconds=lease
                )
            except Exception as error:  # whatever it is, nobody else renews
                log.warning("lease.renewal_failed", error=type(error).__name__)
                due = time.monotonic() + lease / 10
                continue
            for run in mine:
                if (run.task.id, run.task.run_no) not in kept and run in self.runs:
                    run.end("overtaken")

    async def drain(self, grace_seconds: float) -> None:
        """Claim nothing more, let runs finish for `grace_seconds`, then cancel them and hand their tasks back."""
        self.draining = True
        if await self._idle_within(grace_seconds):
            return
        self._handing_back = True
        for run in list(self.runs):
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
