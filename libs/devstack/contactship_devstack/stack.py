"""Real Contactship processes on real servers, for the system tests.

    stack = make_stack("api", "scheduler", ai_worker=3)      # fixture, see contactship_devstack.testing
    httpx.get(stack.api_url + "/health")
    stack.kill9("ai_worker-2")
    stack.restart("ai_worker-2")

Instances are named after their kind: `api`, `api-2`, `ai_worker`, `ai_worker-2`, …
Each writes to a log file of its own.
"""

import os
import secrets
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

from contactship_devstack.errors import DevstackError
from contactship_devstack.guard import Guard
from contactship_devstack.polling import free_port
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.processes import KINDS, READY_TIMEOUT_S, STOP_TIMEOUT_S, Fork, ManagedProcess, describe_exit
from contactship_devstack.valkey import ValkeyServer

_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "TZ", "VIRTUAL_ENV", "COVERAGE_PROCESS_START", "COVERAGE_FILE")
"""Nothing else of the developer's environment: a key of a real vendor must not reach a test."""

_LOG_TAIL_LINES = 40


class Stack:
    """Starts, hurts and stops processes. Use it as a context manager or call `close`.

    `env` is what all processes get; `start` takes more for single ones. API_SECRET_KEY is known as `.api_key`.
    `postgres` and `valkey` are the servers, where the stack has its own: stop, freeze and restart them. With `fork`
    processes start without the second that imports take, see `contactship_devstack.fork`.
    """

    def __init__(
        self,
        *,
        database_url: str,
        redis_url: str,
        folder: Path,
        env: dict[str, str] | None = None,
        postgres: PostgresServer | None = None,
        valkey: ValkeyServer | None = None,
        guard: Guard | None = None,
        fork: Fork | None = None,
    ) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.folder = folder
        self.postgres = postgres
        self.valkey = valkey
        self.api_key = secrets.token_urlsafe(32)
        self._guard = guard
        self._fork = fork
        self._processes: dict[str, ManagedProcess] = {}
        self.env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "ENVIRONMENT": "test",
            "HOST": "127.0.0.1",
            "WORKER_HEALTH_HOST": "127.0.0.1",
            "JWT_SECRET": secrets.token_urlsafe(32),
            "API_SECRET_KEY": self.api_key,
            "RATE_LIMIT_MAX": "0",
            # A full hour during a test must not send it to a real source.
            "SYNC_CRON": "off",
            **(env or {}),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def api_url(self) -> str:
        """`http://127.0.0.1:<port>` of the first API."""
        return self.process("api").url

    @property
    def api_urls(self) -> list[str]:
        return [process.url for process in self._processes.values() if process.kind.name == "api"]

    @property
    def names(self) -> list[str]:
        return list(self._processes)

    def start(
        self, *kinds: str, env: dict[str, str] | None = None, wait: bool = True, **counts: int
    ) -> list[ManagedProcess]:
        """Start one more of each named kind (`start("api", ai_worker=3)`) and wait until all are ready.

        Raises DevstackError with the tail of the logs if one is not.
        """
        wanted = [*kinds, *(kind for kind, count in counts.items() for _ in range(count))]
        started = [self._launch(kind, env or {}) for kind in wanted]
        if wait:
            for process in started:
                self._wait_until_ready(process)
        return started

    def process(self, name: str) -> ManagedProcess:
        if name not in self._processes:
            raise DevstackError(f"this stack has no {name}, only {', '.join(self._processes) or 'nothing'}")
        return self._processes[name]

    def kill9(self, name: str) -> None:
        """SIGKILL to the process and its children, and wait until they are gone."""
        self.process(name).kill()

    def sigterm(self, name: str, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask it to stop and return its exit code; -9 if it took longer than that and was killed."""
        return self.process(name).stop(timeout_s)

    def restart(self, name: str, env: dict[str, str] | None = None) -> None:
        """Stop it unless it is dead already, and start it on the same port; `env` is added to what it had."""
        process = self.process(name)
        if process.running:
            process.stop()
        process.environment |= env or {}
        process.start()
        self._wait_until_ready(process)

    def freeze(self, name: str) -> None:
        """SIGSTOP: it hangs with its connections open, as in a long pause of the machine."""
        self.process(name).signal_all(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.process(name).signal_all(signal.SIGCONT)

    def logs(self, name: str) -> str:
        """All the process has written so far, over restarts."""
        path = self._log(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def tail(self) -> str:
        """The last lines of every log, for the message of a failed test."""
        parts = []
        for name, process in self._processes.items():
            state = "running" if process.running else f"ended with {describe_exit(process.returncode)}"
            lines = self.logs(name).splitlines()[-_LOG_TAIL_LINES:]
            parts.append("\n".join([f"--- {name} ({state}) ---", *lines]))
        return "\n".join(parts)

    def close(self) -> None:
        """Stop everything this stack started: all asked at once, killed after 30 s. The servers are not its own."""
        for process in self._processes.values():
            process.ask_to_stop()
        for process in self._processes.values():
            process.wait_until_stopped()

    def _launch(self, kind_name: str, env: dict[str, str]) -> ManagedProcess:
        if kind_name not in KINDS:
            raise DevstackError(f"there is no process {kind_name!r}, only {', '.join(KINDS)}")
        same = sum(process.kind.name == kind_name for process in self._processes.values())
        name = kind_name if same == 0 else f"{kind_name}-{same + 1}"
        process = ManagedProcess(
            name, KINDS[kind_name], free_port(), self.env | env, log=self._log(name), guard=self._guard, fork=self._fork
        )
        self._processes[name] = process
        process.start()
        return process

    def _wait_until_ready(self, process: ManagedProcess) -> None:
        try:
            process.wait_until_ready(READY_TIMEOUT_S)
        except DevstackError as error:
            raise DevstackError(f"{error}\n{self.tail()}") from error

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"
