"""Ends what a process left behind when it dies without saying goodbye (kill -9, a crash, a lost terminal).

`Guard` starts a small helper in a session of its own, which reads what to end from a pipe. The pipe closes when its
owner dies, however that happens, and only then the helper acts. Servers of tests and application processes are guarded;
the development servers are not, the next start finds and reuses them.
"""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil


class Guard:
    """Use one for each owning process. Closing it ends everything that is still registered."""

    def __init__(self) -> None:
        # The read end is the helper's stdin; Python never lets other children inherit the write end.
        self._helper = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )

    def watch(self, pid: int) -> None:
        """Kill this process and its children when the owner is gone. A pid that was reused since is left alone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._send({"pid": pid, "created": psutil.Process(pid).create_time()})

    def forget(self, pid: int) -> None:
        """The process ended by itself or was ended by its owner."""
        self._send({"forget": pid})

    def remove(self, folder: Path) -> None:
        """Delete the folder when the owner is gone, after the processes."""
        self._send({"remove": str(folder)})

    def close(self) -> None:
        """End what is still registered and wait for the helper."""
        assert self._helper.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._helper.stdin.close()
        self._helper.wait(30)

    def _send(self, message: dict[str, object]) -> None:
        assert self._helper.stdin is not None
        # A helper that someone killed must not break the stack it guards.
        with contextlib.suppress(BrokenPipeError):
            self._helper.stdin.write(json.dumps(message).encode() + b"\n")
            self._helper.stdin.flush()


def _kill_tree(pid: int, created: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if abs(process.create_time() - created) > 0.01:
            return
        family = [process, *process.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)


def main() -> None:
    """The helper: collect until the owner is gone, then act."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    processes: dict[int, float] = {}
    folders: set[str] = set()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "pid" in message:
            processes[message["pid"]] = message["created"]
        elif "forget" in message:
            processes.pop(message["forget"], None)
        else:
            folders.add(message["remove"])
    for pid, created in processes.items():
        _kill_tree(pid, created)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
