"""Starts Contactship's processes by forking one that has imported everything.

Most of a start is imports, a second of processor time each, and the system tests start hundreds of processes. What
runs is the console script's own function in a session of its own, with its own environment and output; only the start
of the interpreter is shared. `make run`, `make dev`, the benchmarks and at least one test of each start command use the
scripts themselves.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from contactship_devstack.processes import entry_point

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["contactship_devstack.preloaded", __name__])


class ForkedChild:
    """What `ManagedProcess` needs of a `subprocess.Popen`."""

    stdout = None

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self._process.name), timeout or 0.0)
        return code


def fork(script: str, environment: dict[str, str], log: Path) -> ForkedChild:
    """Start what the console script starts; its output is appended to `log`."""
    return _start(script, [script], environment, log, log)


def fork_main(main: Callable[[], object], environment: dict[str, str], log: Path) -> ForkedChild:
    """The same with a function of a module, for processes that only tests have."""
    return _start(main, [main.__module__], environment, log, log)


def run(script: str, *arguments: str, env: dict[str, str], timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
    """Run what the console script runs to its end, with nothing but `env` for its environment.

    Raises subprocess.TimeoutExpired, and ends it then.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        child = _start(script, [script, *arguments], env, output, errors)
        try:
            code = child.wait(timeout_s)
        except BaseException:  # also Ctrl-C, and pytest's own limit of time
            os.killpg(child.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess([script, *arguments], code, output.read_text(), errors.read_text())


Main = str | Callable[[], object]
"""A console script, or a function."""


def _start(main: Main, command: list[str], environment: dict[str, str], output: Path, errors: Path) -> ForkedChild:
    told = (main, command, environment, str(output), str(errors))
    process = _context.Process(target=_become, args=told, name=command[0], daemon=True)
    process.start()
    return ForkedChild(process)


def _become(main: Main, command: list[str], environment: dict[str, str], output: str, errors: str) -> None:
    os.setsid()
    appended = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for path, flags, target in ((os.devnull, os.O_RDONLY, 0), (output, appended, 1), (errors, appended, 2)):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, target)
        os.close(opened)
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]  # as with PYTHONUNBUFFERED
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = command
    try:
        (entry_point(main).load() if isinstance(main, str) else main)()
    finally:
        atexit._run_exitfuncs()
