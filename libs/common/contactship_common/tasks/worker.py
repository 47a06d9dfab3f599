"""A worker process: one Dramatiq worker, many threads, one event loop that does all the waiting.

Dramatiq's command line starts a master and children; a container runs one process anyway, so the worker is embedded:
it starts faster, one pid is all there is to kill, and SIGTERM drains in order.
"""

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import dramatiq
import sqlalchemy as sa
import structlog
import uvloop
from dramatiq.asyncio import EventLoopThread, get_event_loop_thread
from dramatiq.middleware import AsyncIO
from redis.exceptions import RedisError
from sqlalchemy.dialects.postgresql import insert

from contactship_common import telemetry
from contactship_common.db import DATABASE_AWAY
from contactship_common.health_server import HealthServer
from contactship_common.models import WorkerHeartbeat
from contactship_common.periodic import periodically
from contactship_common.runtime import Runtime
from contactship_common.settings import CoreSettings, WorkerSettings, explain
from contactship_common.tasks.bell import ACTOR_NAME
from contactship_common.tasks.broker import make_broker
from contactship_common.tasks.catalog import Queue
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.runner import Runner

log = structlog.get_logger()

# Of the threads, which a message wakes at once: at the consumer's 20 ms, 256 idle ones take a quarter of a core.
IDLE_THREAD_SECONDS = 0.5
# Every thread whose task is waiting looks this often whether a Dramatiq middleware has interrupted it; none of ours
# does. At Dramatiq's 100 ms, 256 of them take most of a core.
INTERRUPT_CHECK_SECONDS = 600.0
IDLE_POLL_MS = 20  # Dramatiq's idle wait: 307 ms median latency at its default, 10 ms at this
STOP_TIMEOUT_MS = 2_000  # by then everything has been finished or handed back
_UNREADY: tuple[type[Exception], ...] = (*DATABASE_AWAY, TimeoutError)

Handlers = Callable[[Runtime, AsyncExitStack], dict[str, AnyHandler]]
"""Builds the handlers of a worker inside its event loop; what must be closed at the end goes on the stack."""


class _EventLoop(AsyncIO):
    """Dramatiq's event loop, started before the worker (the runner must exist before the first message is taken) and
    stopped after it (connections are closed on it)."""

    def start(self) -> EventLoopThread:
        super().before_worker_boot(None, None)  # type: ignore[no-untyped-call]
        loop = get_event_loop_thread()
        if loop is None:
            raise RuntimeError("Dramatiq did not start its event loop")
        loop.interrupt_check_ival = INTERRUPT_CHECK_SECONDS
        return loop

    def stop(self) -> None:
        super().after_worker_shutdown(None, None)  # type: ignore[no-untyped-call]

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        """Started already."""

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Stopped later."""


class WorkerProcess:
    """Everything of one worker process, from settings to the last acknowledged message."""

    def __init__(self, queue: Queue, make_handlers: Handlers, *, default_threads: int) -> None:
        self.queue = queue
        self.core = CoreSettings()
        self.settings = WorkerSettings()
        self.threads = self.settings.worker_concurrency or default_threads
        self.owner = f"{queue}@{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._make_handlers = make_handlers
        self._stack = AsyncExitStack()
        self.runner: Runner
        self.runtime: Runtime
        self._beating: asyncio.Task[None]

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; returns when everything has been finished or handed back."""
        asked_to_stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked_to_stop.set())
        event_loop = _EventLoop()
        broker = make_broker(self.core.broker_url, middleware=[event_loop])
        dramatiq.set_broker(broker)

        async def run_task(task_id: str, kind: str | None = None) -> None:
            if self.runner.draining:
                # Fetched before the stop: put it back for another worker instead of losing it for TASK_RING_AGAIN.
                self.runtime.bell.ring(self.queue, UUID(task_id), kind)
                return
            await self.runner.run(UUID(task_id), kind)

        dramatiq.actor(broker=broker, actor_name=ACTOR_NAME, queue_name=self.queue)(run_task)
        worker = dramatiq.Worker(broker, queues={self.queue}, worker_timeout=IDLE_POLL_MS, worker_threads=self.threads)
        # Messages in progress count: more than the threads would wait here while other workers are idle.
        worker.queue_prefetch = self.threads
        loop = event_loop.start()
        try:
            loop.run_coroutine(self._open())
            # What has been imported stays: no collection needs to walk over it again.
            gc.collect()
            gc.freeze()
            worker.start()
            for thread in worker.workers:
                thread.timeout = IDLE_THREAD_SECONDS
            log.info("worker.started", queue=self.queue, threads=self.threads)
            asked_to_stop.wait()
            log.info("worker.stopping", running=len(self.runner.runs))
            # First of all take no more messages: they would be taken from workers that could run them.
            for consumer in worker.consumers.values():
                consumer.stop()
            # The runs end by themselves or are handed back; the threads that wait for them then stop.
            loop.run_coroutine(self.runner.drain(self.settings.shutdown_grace))
            loop.run_coroutine(self._say_goodbye())
            worker.stop(timeout=STOP_TIMEOUT_MS)
        finally:
            # Its thread keeps the process alive, also when opening failed.
            try:
                loop.run_coroutine(self._stack.aclose())
            finally:
                event_loop.stop()
        log.info("worker.stopped")

    async def _open(self) -> None:
        self.runtime = Runtime(self.core)
        await self.runtime.open()
        self._stack.push_async_callback(self.runtime.close)
        self.runner = Runner(
            self.runtime,
            self._make_handlers(self.runtime, self._stack),
            owner=self.owner,
            max_run_seconds=self.settings.task_timeout,
        )
        health = HealthServer(self.settings.worker_health_host, self.settings.worker_health_port, self._readiness)
        await health.start()
        self._stack.push_async_callback(health.stop)
        renewing = asyncio.create_task(self.runner.renew_leases())
        self._stack.callback(renewing.cancel)
        self._beating = asyncio.create_task(
            periodically("heartbeat", self._beat, every_seconds=self.settings.heartbeat_interval)
        )
        self._stack.callback(self._beating.cancel)

    async def _readiness(self) -> dict[str, Any]:
        state = {"status": "ok", "queue": self.queue, "threads": self.threads, "running": len(self.runner.runs)}
        if self.runner.draining:
            return {**state, "status": "error", "message": "stopping"}
        try:
            async with asyncio.timeout(2), self.runtime.db.fast.connection() as connection:
                await connection.execute("SELECT 1")
        except _UNREADY:
            return {**state, "status": "error", "message": "the database cannot be reached"}
        # Without Redis tasks are found by nobody until it is back; without a model they wait. Neither needs a restart.
        info = {"redis": await self._redis(), **{name: tell() for name, tell in self.runtime.parts.items()}}
        degraded = "down" in {part["status"] for part in info.values()}
        return {**state, "status": "degraded" if degraded else "ok", "info": info}

    async def _redis(self) -> dict[str, str]:
        client = self.runtime.redis.client
        try:
            async with asyncio.timeout(2):
                up = client is not None and await client.ping()
        except (RedisError, OSError, TimeoutError):
            up = False
        return {"status": "up" if up else "down"}

    async def _beat(self) -> None:
        row = {"threads": self.threads, "running": len(self.runner.runs), "seen_at": sa.func.now()}
        statement = insert(WorkerHeartbeat).values(id=self.owner, kind=f"{self.queue}_worker", queue=self.queue, **row)
        async with self.runtime.db.sessions() as session, session.begin():
            await session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=row))

    async def _say_goodbye(self) -> None:
        # A beat after this would let a process that is gone look alive for half a minute.
        self._beating.cancel()
        await asyncio.wait({self._beating})
        try:
            async with self.runtime.db.sessions() as session, session.begin():
                await session.execute(sa.delete(WorkerHeartbeat).where(WorkerHeartbeat.id == self.owner))  # type: ignore[arg-type]
        except DATABASE_AWAY as error:
            log.warning("heartbeat.failed", error=type(error).__name__)


def run_worker(queue: Queue, make_handlers: Handlers, *, default_threads: int) -> None:
    """The `main` of a worker: a wrong setting is one clear line and exit status 1."""
    uvloop.install()
    try:
        process = WorkerProcess(queue, make_handlers, default_threads=default_threads)
        telemetry.start(process.core, f"{queue}_worker")
        process.run()
        telemetry.stop()
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"contactship-{queue}-worker: {explain(error)}\n")
        raise SystemExit(1) from None
