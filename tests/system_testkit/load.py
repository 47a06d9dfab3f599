"""Clients that go on asking while a test hurts the system, and remember what they were promised."""

import itertools
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from system_testkit.scene import Scene

_PAUSE_SECONDS = 0.02


class Load:
    """A few clients that ask for one summary after the other. Use it as a context manager around the fault.

    `accepted` maps leads to promised tasks; `slowest_s` is the longest answer; `statuses` counts what was answered,
    `None` for a connection that broke: such a request may have been done or not, and nobody was promised anything.
    """

    def __init__(self, scene: Scene, leads: Sequence[str], *, clients: int = 3) -> None:
        self.accepted: dict[str, str] = {}
        self.statuses: dict[int | None, int] = {}
        self.slowest_s = 0.0
        self._scene = scene
        self._leads = itertools.cycle(leads)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        self._scene.accepted.extend(self.accepted.values())

    def until_accepted(self, more: int, *, seconds: float = 30.0) -> None:
        """Wait until so many further leads have been accepted."""
        wanted = len(self.accepted) + more
        self._scene.until(lambda: len(self.accepted) >= wanted, f"{more} accepted requests", seconds=seconds)

    def _ask(self) -> None:
        headers = {"x-api-key": self._scene.stack.api_key}
        with httpx.Client(headers=headers, timeout=30, base_url=f"{self._scene.stack.api_url}/api/v1") as client:
            while not self._stop.wait(_PAUSE_SECONDS):
                with self._lock:
                    lead_id = next(self._leads)
                try:
                    answer = client.post(f"/leads/{lead_id}/summarize")
                except httpx.TransportError:
                    self._note(None, lead_id, None, 0.0)
                    continue
                task_id = answer.json()["taskId"] if answer.status_code == 202 else None
                self._note(answer.status_code, lead_id, task_id, answer.elapsed.total_seconds())

    def _note(self, status: int | None, lead_id: str, task_id: str | None, seconds: float) -> None:
        with self._lock:
            self.statuses[status] = self.statuses.get(status, 0) + 1
            self.slowest_s = max(self.slowest_s, seconds)
            if task_id is not None:
                self.accepted[lead_id] = task_id
