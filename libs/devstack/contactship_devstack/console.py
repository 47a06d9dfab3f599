"""Lines of several processes on one terminal, each with the name of who wrote it."""

import os
import sys
import threading
import time
from typing import IO

_COLOURS = {
    "contactship": 36,
    "api": 32,
    "scheduler": 35,
    "ai_worker": 33,
    "sync_worker": 34,
    "delivery_worker": 31,
}
_WIDTH = max(map(len, _COLOURS))


def colour_wanted(stream: IO[str]) -> bool:
    """Colour on a terminal or when FORCE_COLOR is set; never when NO_COLOR is (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


class Console:
    """Writes whole lines, from any thread. A closed output (a pager that ended) stops nothing."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self.colour = colour_wanted(self._stream)
        self._lock = threading.Lock()
        self._readers: list[threading.Thread] = []

    def say(self, text: str, name: str = "contactship") -> None:
        """One line with the prefix of its author."""
        prefix = f"{name:<{_WIDTH}} |"
        if self.colour:
            prefix = f"\x1b[{_COLOURS.get(name, 37)}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {text}")

    def plain(self, text: str) -> None:
        """Text as it is, in one piece."""
        with self._lock:
            try:
                self._stream.write(text + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return  # nobody reads any more; the processes must not stop for that

    def follow(self, name: str, pipe: IO[bytes]) -> None:
        """Copy a process's output until it closes, in a thread."""

        def copy() -> None:
            with pipe:
                for line in pipe:
                    self.say(line.decode(errors="replace").rstrip(), name)

        reader = threading.Thread(target=copy, name=name, daemon=True)
        reader.start()
        self._readers = [thread for thread in self._readers if thread.is_alive()] + [reader]

    def drain(self, timeout_s: float = 2.0, name: str | None = None) -> None:
        """Wait until what ended processes wrote (or the one with this name) is on the screen."""
        deadline = time.monotonic() + timeout_s
        for reader in self._readers:
            if name is None or reader.name == name:
                reader.join(max(0.0, deadline - time.monotonic()))
