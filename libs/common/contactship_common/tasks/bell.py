"""Ringing workers: one thread a process that hands task ids to Dramatiq.

Dramatiq's client is synchronous, so it must never be called on the event loop. The queue is bounded and the circuit
simple: while the broker is away messages are dropped, because the dispatcher rings every waiting task again anyway.
"""

import contextlib
import queue
import threading
import time
from uuid import UUID

import dramatiq
import structlog

from contactship_common import metrics

log = structlog.get_logger()

ACTOR_NAME = "contactship.run_task"
_PAUSE_SECONDS = 1.0
_CAPACITY = 10_000


def message_for(queue_name: str, task_id: UUID) -> "dramatiq.Message[None]":
    """The wake-up for one task: its id and nothing else."""
    return dramatiq.Message(queue_name=queue_name, actor_name=ACTOR_NAME, args=(str(task_id),), kwargs={}, options={})


class Bell:
    """Rings tasks after their commit. Losing a ring costs a few seconds, never a task."""

    def __init__(self, broker: dramatiq.Broker) -> None:
        self._broker = broker
        self._waiting: queue.Queue[tuple[str, UUID] | None] = queue.Queue(maxsize=_CAPACITY)
        self._paused_until = 0.0
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Send what is waiting and end the thread; what cannot be sent in time is left to the dispatcher."""
        with contextlib.suppress(queue.Full):  # full: the daemon thread ends with the process
            self._waiting.put(None, timeout=timeout_seconds)
        self._thread.join(timeout_seconds)

    def ring(self, queue_name: str, task_id: UUID) -> None:
        """Never blocks; safe to call on the event loop."""
        try:
            self._waiting.put_nowait((queue_name, task_id))
        except queue.Full:
            metrics.RINGS.labels(queue_name, "dropped").inc()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            queue_name, task_id = item
            if time.monotonic() < self._paused_until:
                metrics.RINGS.labels(queue_name, "dropped").inc()
                continue
            try:
                self._broker.enqueue(message_for(queue_name, task_id))
                metrics.RINGS.labels(queue_name, "sent").inc()
            except Exception as error:  # whatever the broker raises, the task is safe and the thread must live
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
                metrics.RINGS.labels(queue_name, "failed").inc()
                log.warning("bell.failed", queue=queue_name, error=type(error).__name__)
