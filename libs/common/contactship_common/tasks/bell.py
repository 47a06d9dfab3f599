"""Ringing workers: one thread a process that hands task ids to Dramatiq.

Dramatiq's client is synchronous, so it must never be called on the event loop. The queue is bounded and the circuit
simple: while the broker is away messages are dropped, because the dispatcher rings every waiting task again anyway.

A kind whose tasks are handled together is rung at once when one comes, and then at most every 100 ms, however many
come: whoever hears it takes all that wait.
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
_TOGETHER_SECONDS = 0.1

_Ring = tuple[str, UUID, str | None]


def message_for(queue_name: str, task_id: UUID, together: str | None = None) -> "dramatiq.Message[None]":
    """The wake-up for one task: its id and nothing else; with `together` for all waiting tasks of this kind."""
    kind = {"kind": together} if together else {}
    return dramatiq.Message(queue_name=queue_name, actor_name=ACTOR_NAME, args=(str(task_id),), kwargs=kind, options={})


class Bell:
    """Rings tasks after their commit. Losing a ring costs a few seconds, never a task."""

    def __init__(self, broker: dramatiq.Broker) -> None:
        self._broker = broker
        self._waiting: queue.Queue[_Ring | None] = queue.Queue(maxsize=_CAPACITY)
        self._paused_until = 0.0
        # Of kinds that are handled together: a ring that has not left yet stands for all that come meanwhile.
        self._about_to_leave: set[str] = set()
        self._held: dict[str, _Ring] = {}
        self._next: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Send what is waiting and end the thread; what cannot be sent in time is left to the dispatcher."""
        with contextlib.suppress(queue.Full):  # full: the daemon thread ends with the process
            self._waiting.put(None, timeout=timeout_seconds)
        self._thread.join(timeout_seconds)

    def ring(self, queue_name: str, task_id: UUID, together: str | None = None) -> None:
        """Never blocks; safe to call on the event loop."""
        if together is not None:
            if together in self._about_to_leave:
                return
            self._about_to_leave.add(together)
        try:
            self._waiting.put_nowait((queue_name, task_id, together))
        except queue.Full:
            self._about_to_leave.discard(together or "")
            metrics.RINGS.labels(queue_name, "dropped").inc()

    def _run(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=self._patience())
            except queue.Empty:
                self._send_held(time.monotonic())
                continue
            if item is None:
                break
            kind = item[2]
            if kind is not None and time.monotonic() < self._next.get(kind, 0.0):
                self._held[kind] = item
            else:
                self._send(*item)
            if self._held:
                self._send_held(time.monotonic())
        self._send_held(float("inf"))

    def _patience(self) -> float | None:
        """Seconds until a held ring is due; None: there is none."""
        if not self._held:
            return None
        return max(0.0, min(self._next[kind] for kind in self._held) - time.monotonic())

    def _send_held(self, now: float) -> None:
        for kind in [kind for kind in self._held if self._next[kind] <= now]:
            self._send(*self._held.pop(kind))

    def _send(self, queue_name: str, task_id: UUID, together: str | None) -> None:
        if together is not None:
            self._next[together] = time.monotonic() + _TOGETHER_SECONDS
            # Before it leaves: a task that is committed from now on rings for itself.
            self._about_to_leave.discard(together)
        if time.monotonic() < self._paused_until:
            metrics.RINGS.labels(queue_name, "dropped").inc()
            return
        try:
            self._broker.enqueue(message_for(queue_name, task_id, together))
            metrics.RINGS.labels(queue_name, "sent").inc()
        except Exception as error:  # whatever the broker raises, the task is safe and the thread must live
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            metrics.RINGS.labels(queue_name, "failed").inc()
            log.warning("bell.failed", queue=queue_name, error=type(error).__name__)
