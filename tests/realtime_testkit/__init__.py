"""The JavaScript client in a process of its own, driven from Python."""

import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from contactship_devstack.guard import Guard

CLIENT = Path(__file__).parent.parent / "realtime"


def installed_client() -> str:
    """The path of node, once `socket.io-client` is installed beside the script; the first test of a checkout does it.

    Without node the tests are skipped on a developer's machine, and fail in CI.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        message = "node and npm are not installed: the tests with the JavaScript client cannot run"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with (CLIENT / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several pytest processes start at once
        stamp, wanted = CLIENT / "node_modules" / ".installed", lock.read()
        if not stamp.exists() or stamp.read_text() != wanted:
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"]
            done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, timeout=180)
            assert done.returncode == 0, f"npm ci failed:\n{done.stdout}\n{done.stderr}"
            stamp.write_text(wanted)
    return node


class Browser:
    """Any number of `socket.io-client` sockets, by names. Use it as a context manager."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._child: subprocess.Popen[str] | None = None
        self._lines: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self._numbers = itertools.count(1)

    def connect(self, name: str, url: str, token: str | None, *, wait: bool = True, **options: Any) -> None:
        """Open a socket; `options` are those of the client, websocket only unless they say otherwise."""
        chosen = {"transports": ["websocket"], **({"auth": {"token": token}} if token else {}), **options}
        self._ask({"do": "connect", "id": name, "url": url, "options": chosen})
        if wait:
            self.until(name, "connect")

    def close(self, name: str) -> None:
        self._ask({"do": "close", "id": name})

    def call(self, name: str, *arguments: Any) -> Any:
        """Emit, and wait for the acknowledgement."""
        number = next(self._numbers)
        self._ask({"do": "emit", "id": name, "number": number, "args": list(arguments)})
        return self.until(name, "answer", number=number)["data"]

    def seen(self, name: str, what: str, **fields: Any) -> list[dict[str, Any]]:
        """What has happened to this socket so far: `connect`, `disconnect`, `event`, …"""
        with self._arrived:
            return [
                line
                for line in self._lines
                if line["id"] == name and line["is"] == what and all(line.get(k) == v for k, v in fields.items())
            ]

    def events(self, name: str, event: str) -> list[Any]:
        return [line["data"] for line in self.seen(name, "event", event=event)]

    def until(self, name: str, what: str, *, after: int = 0, seconds: float = 20.0, **fields: Any) -> dict[str, Any]:
        """Wait until this has happened more than `after` times; returns the line of the next."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.seen(name, what, **fields)
            if len(found) > after:
                return found[after]
            with self._arrived:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"{name}: no {what} {fields} in {seconds:g} s; it saw {self._lines[-20:]}")
                self._arrived.wait(min(left, 0.05))

    def event(self, name: str, event: str, *, after: int = 0, seconds: float = 20.0) -> dict[str, Any]:
        """The line of an event: `at` (milliseconds since 1970) and `data`."""
        return self.until(name, "event", after=after, seconds=seconds, event=event)

    def freeze(self) -> None:
        """Hang with every connection open, as a laptop whose lid was closed."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def _ask(self, line: dict[str, Any]) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(line) + "\n")
        self._child.stdin.flush()

    def _read(self) -> None:
        assert self._child is not None
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if not line.endswith("\n"):
                return  # killed in the middle of it
            with self._arrived:
                self._lines.append(json.loads(line))
                self._arrived.notify_all()

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [installed_client(), "client.mjs"], cwd=CLIENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._guard.watch(self._child.pid)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._child is not None and self._child.stdin is not None and self._child.stdout is not None:
            self._child.stdin.close()
            self._child.wait(10)
            self._reader.join(30)
            self._child.stdout.close()
            self._guard.forget(self._child.pid)
