"""One Contactship process: what it is called, how it is started, asked for its health, and ended."""

import contextlib
import http.client
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import IO, Protocol

import psutil

from contactship_devstack.errors import DevstackError
from contactship_devstack.guard import Guard
from contactship_devstack.polling import poll

READY_TIMEOUT_S = 180.0  # a crowded machine takes its time; what ends before is reported at once
STOP_TIMEOUT_S = 30.0
"""A worker gives running tasks 25 s and hands back what remains; after this it is killed."""

_HEALTH_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Kind:
    """A process as it is deployed: its console script and the variable that tells it which port to serve."""

    name: str
    script: str
    port_variable: str = "WORKER_HEALTH_PORT"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("api", "contactship-api", "PORT"),
        Kind("scheduler", "contactship-scheduler"),
        Kind("ai_worker", "contactship-ai-worker"),
        Kind("sync_worker", "contactship-sync-worker"),
        Kind("delivery_worker", "contactship-delivery-worker"),
    )
}


def script(name: str) -> str:
    """The path of a console script of this virtual environment. Raises DevstackError if it is not installed."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise DevstackError(f"{name} is not installed in {path.parent}; run `make` to rebuild .venv")
    return str(path)


def entry_point(script: str) -> EntryPoint:
    """The function that a console script calls."""
    [found] = entry_points(group="console_scripts", name=script)
    return found


class Child(Protocol):
    """The part of `subprocess.Popen` that is used here."""

    pid: int

    @property
    def stdout(self) -> IO[bytes] | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...


Fork = Callable[[str, dict[str, str], Path], Child]
"""Starts a console script with an environment and a log, see `contactship_devstack.fork`."""


class ManagedProcess:
    """A process in a session of its own, so that Ctrl-C reaches only whoever manages it.

    `environment` is the whole environment of the process. What it writes is appended to `log`; without one it is to be
    read from `stdout`, or the process stops when the pipe is full. With `fork` (and a log) it is started by that.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        port: int,
        environment: dict[str, str],
        *,
        log: Path | None = None,
        guard: Guard | None = None,
        fork: Fork | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.port = port
        self.environment = {**environment, kind.port_variable: str(port), "PYTHONUNBUFFERED": "1"}
        self._log = log
        self._guard = guard
        self._fork = fork
        self._child: Child | None = None
        self._family: list[psutil.Process] = []
        self._asked_at = math.inf

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Raises DevstackError if it was never started."""
        if self._child is None:
            raise DevstackError(f"{self.name} was not started")
        return self._child.pid

    @property
    def stdout(self) -> IO[bytes] | None:
        return self._child.stdout if self._child else None

    @property
    def returncode(self) -> int | None:
        """None while it runs (and before it was started); negative is the signal that ended it."""
        return self._child.poll() if self._child else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it and return at once; see `wait_until_ready`."""
        if self._fork is not None and self._log is not None:
            self._child = self._fork(self.kind.script, self.environment, self._log)
        else:
            self._child = self._start_script()
        if self._guard:
            self._guard.watch(self._child.pid)

    def _start_script(self) -> Child:
        with contextlib.ExitStack() as files:
            output = subprocess.PIPE if self._log is None else files.enter_context(self._log.open("ab"))
            return subprocess.Popen(
                [script(self.kind.script)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        """One question to `/health/readiness`. False for every kind of "no" or "not yet"."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/health/readiness")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Raises DevstackError if it ends or is not ready in time."""

        def ready_or_dead() -> bool:
            return not self.running or self.is_ready()

        try:
            poll(ready_or_dead, timeout_s=timeout_s, what=f"{self.name} to be ready", interval_s=0.05)
        except TimeoutError as error:
            raise DevstackError(str(error)) from error
        if not self.running:
            raise DevstackError(f"{self.name} ended with {describe_exit(self.returncode)} before it was ready")

    def signal_all(self, number: signal.Signals) -> None:
        """To the main process and everything it started."""
        if self.running:
            os.killpg(self.pid, number)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, wait, SIGKILL for what is left. Returns the exit code; negative is the signal that ended it."""
        self.ask_to_stop()
        return self.wait_until_stopped(timeout_s)

    def ask_to_stop(self) -> None:
        """SIGTERM to the main process, as a container runtime does. Once: a second one ends a worker at once."""
        if self.running:
            self._remember_family()
            self._asked_at = time.monotonic()
            self.signal_all(signal.SIGCONT)  # a frozen process cannot stop
            os.kill(self.pid, signal.SIGTERM)

    @property
    def stop_overdue(self) -> bool:
        """Whether it was asked to stop longer ago than any process may take."""
        return time.monotonic() > self._asked_at + STOP_TIMEOUT_S

    def kill(self) -> int:
        """SIGKILL to it and all it started, as a power cut would."""
        if self.running:
            self._remember_family()
            self.signal_all(signal.SIGKILL)
        return self.wait_until_stopped()

    def wait_until_stopped(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the end, then kill what is left of it and its children. Returns the exit code."""
        child = self._child
        if child is None:
            return 0
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal_all(signal.SIGKILL)
            code = child.wait()
        for orphan in self._family:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()
        self._family = []
        if self._guard:
            self._guard.forget(child.pid)
        return code

    def _remember_family(self) -> None:
        """Children are found through their parent, so look while it lives."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._family = psutil.Process(self.pid).children(recursive=True)


def describe_exit(code: int | None) -> str:
    """`exit code 3` or `SIGKILL`."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
