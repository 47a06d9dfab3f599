"""A vendor in a process of its own: it neither shares the test's interpreter nor dies with a frozen thread of it."""

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from contactship_devstack.guard import Guard

_TESTS = Path(__file__).parent.parent


class VendorProcess:
    """`python -m vendors.openai_server` and its control interface. Use it as a context manager."""

    def __init__(self, guard: Guard, *, latency: float = 0.0, module: str = "vendors.openai_server") -> None:
        self._guard = guard
        self._command = [sys.executable, "-m", module, "--latency", str(latency), "--keep", "10"]
        self._child: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def environment(self) -> dict[str, str]:
        """Settings that make a worker ask this vendor."""
        return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": f"{self.url}/v1"}

    def counts(self) -> dict[str, Any]:
        """`total`, `in_flight`, `peak`, `by_subject`, `by_kind`."""
        found: dict[str, Any] = httpx.get(f"{self.url}/_calls", timeout=30).raise_for_status().json()
        return found

    def script(self, *says: dict[str, Any], **options: Any) -> None:
        """Answers to give next, as in `vendors.server.Say`; `latency=` for all others."""
        httpx.post(f"{self.url}/_script", json={"say": says, **options}, timeout=30).raise_for_status()

    def __enter__(self) -> Self:
        child = subprocess.Popen(self._command, cwd=_TESTS, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        self._guard.watch(child.pid)
        self._child = child
        assert child.stdout is not None
        self.url = child.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), "the vendor's process did not start"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._child is not None and self._child.stdout is not None:
            self._child.terminate()
            self._child.wait(10)
            self._child.stdout.close()
            self._guard.forget(self._child.pid)
