"""The folder in which `make run` keeps everything: data of the servers, development secrets, and who runs now."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from contactship_devstack.errors import DevstackError
from contactship_devstack.valkey import write_private

VARIABLE = "CONTACTSHIP_DATA_DIR"
DEFAULT = ".data"


@dataclass(frozen=True)
class Running:
    """What a running stack tells other commands. The file is 0600: the addresses hold passwords."""

    pid: int
    api_url: str
    database_url: str
    redis_url: str
    health_urls: dict[str, str]


class DataFolder:
    """Made if it does not exist, closed to other users. Raises DevstackError if that is impossible."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._lock_file: IO[str] | None = None
        try:
            if not self.path.exists():
                self.path.mkdir(mode=0o700, parents=True)
            probe = self.path / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise DevstackError(
                f"cannot write to the data folder {self.path} ({error.strerror}); set {VARIABLE} to another one"
            ) from error

    @classmethod
    def of_environment(cls) -> "DataFolder":
        """The folder that CONTACTSHIP_DATA_DIR names, else `.data` where the command was started."""
        return cls(Path(os.environ.get(VARIABLE) or DEFAULT))

    def lock(self) -> None:
        """Be the only supervisor of this folder until the process ends, however it ends."""
        file = (self.path / "supervisor.lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            pid = file.read().strip() or "unknown"
            file.close()
            raise DevstackError(
                f"Contactship already runs on {self.path} (process {pid}); stop it there, "
                f"or set {VARIABLE} and PORT for a second one"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock_file = file

    def secret(self, name: str) -> str:
        """A random secret of this folder, made at its first use."""
        path = self.path / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in known:
            known[name] = secrets.token_urlsafe(32)
            write_private(path, json.dumps(known, indent=2) + "\n")
        return known[name]

    def announce(self, running: Running) -> None:
        write_private(self.path / "running.json", json.dumps(asdict(running), indent=2) + "\n")

    def withdraw(self) -> None:
        (self.path / "running.json").unlink(missing_ok=True)

    def running(self) -> Running | None:
        """What runs on this folder now, or None. A file that a killed supervisor left is not believed."""
        if not self._is_locked():
            return None
        try:
            return Running(**json.loads((self.path / "running.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _is_locked(self) -> bool:
        path = self.path / "supervisor.lock"
        if not path.exists():
            return False
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
