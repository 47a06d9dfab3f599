"""Starts Contactship's processes by forking one that has imported everything.

Most of a start is imports, a second of processor time each, and the system tests start hundreds of processes. What
runs is the console script's own function in a session of its own, with its own environment and output; only the start
of the interpreter is shared. `make run`, `make dev`, the benchmarks and the tests of the start commands use the scripts
themselves.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import time
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
    process = _context.Process(target=_become, args=(script, environment, str(log)), name=script, daemon=True)
    process.start()
    return ForkedChild(process)


def _become(script: str, environment: dict[str, str], log: str) -> None:
    os.setsid()
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    os.close(written)
    os.close(nothing)
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]  # as with PYTHONUNBUFFERED
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = [script]
    try:
        entry_point(script).load()()
    finally:
        atexit._run_exitfuncs()
