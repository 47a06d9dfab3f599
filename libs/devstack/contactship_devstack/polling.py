"""Waiting for a condition with a deadline, and free ports."""

import asyncio
import inspect
import itertools
import os
import random
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psutil

T = TypeVar("T")


def poll(condition: Callable[[], T], *, timeout_s: float, what: str, interval_s: float = 0.02) -> T:
    """Call `condition` until it returns something true, and return that.

    Raises TimeoutError naming `what` after `timeout_s` seconds. Errors of `condition` pass through at once.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(interval_s)


async def until(condition: Callable[[], Any], what: str, *, seconds: float = 10.0) -> Any:
    """Call `condition` (plain or async) until it returns something true, and return that.

    Raises TimeoutError naming `what`.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        await asyncio.sleep(0.01)


def has_ended(process: psutil.Process) -> bool:
    """Whether it does not run any more. A zombie has ended: in a container nobody may ever collect it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


_FIRST_TEST_PORT = 12_000
_PORTS_A_TEST_PROCESS = 2_500
_turn = itertools.count(random.randrange(_PORTS_A_TEST_PROCESS))  # noqa: S311


def free_port() -> int:
    """A loopback TCP port nobody listens on now. Another process may take it before you do: be ready to try again.

    Each of several pytest processes draws from a range of its own, below what the system gives to outgoing
    connections: a process that is restarted on its port must not find another test's process there.
    """
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if number.isdigit():
        first = _FIRST_TEST_PORT + _PORTS_A_TEST_PROCESS * (int(number) % 8)
        for _ in range(_PORTS_A_TEST_PROCESS):
            # In turn, so that no port is given twice before its first owner has bound it.
            port = first + next(_turn) % _PORTS_A_TEST_PROCESS
            if port_is_free(port):
                return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    return why_not_free(port) is None


def why_not_free(port: int) -> str | None:
    """The system's reason why nobody could listen on the port now; None if one could.

    Sets SO_REUSEADDR as servers do: a connection that is still closing does not count.
    """
    for host in ("127.0.0.1", ""):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                return (error.strerror or str(error)).lower()
    return None
