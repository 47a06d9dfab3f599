"""An embedded PostgreSQL: a data folder, a unix socket that only its owner reaches, and one server process."""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from contactship_devstack.errors import DevstackError
from contactship_devstack.guard import Guard
from contactship_devstack.pgbinaries import (
    ROOT_STATE,
    as_server,
    binaries,
    give_to_server,
    is_root,
    root_folder,
    take_over,
)
from contactship_devstack.polling import has_ended, poll

_LONGEST_SOCKET_BYTES = 99
"""The kernel's limit is 107 on Linux and 103 on macOS."""

_START_TIMEOUT_S = 60.0  # crash recovery of a large database takes longer than a start
_STOP_TIMEOUT_S = 30.0

DEVELOPMENT = {"shared_buffers": "128MB", "max_connections": "200"}
TESTS = {
    # A test database that a power cut destroys is made again; one that waits for the disk is slow every time.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",  # it would hold the template database open while it is cloned
    "shared_buffers": "64MB",
    "max_connections": "400",  # several system tests at once, each with several processes
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",  # no I/O worker processes beside every small server
}


class PostgresServer:
    """One server on one data folder. `start` finds and reuses a server that an earlier owner left running there.

    `data` must not exist or be a PostgreSQL data folder; `run` holds the socket and is closed to everybody else.
    `programs` is the folder of another PostgreSQL than the bundled one.
    """

    def __init__(
        self,
        data: Path,
        run: Path,
        log: Path,
        *,
        settings: dict[str, str] | None = None,
        guard: Guard | None = None,
        programs: Path | None = None,
    ) -> None:
        self.data = data
        self.run = run
        self.log = log
        self.settings = DEVELOPMENT if settings is None else settings
        self._guard = guard
        self._programs = programs
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        return self.url("postgres")

    def url(self, database: str) -> str:
        """A `postgresql://` address of a database on this server; the same over restarts."""
        return f"postgresql://postgres@/{database}?host={self.run}"

    @property
    def pid(self) -> int | None:
        """The process id of the running server, found by the data folder's own pid file; None if there is none."""
        process = self._find()
        return process.pid if process else None

    def start(self) -> None:
        """Start the server, or find the running one. Raises DevstackError with the log's last line."""
        if self._find() is not None:
            self._wait_until_ready()
            return
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        # A pid file of a dead server whose number now belongs to another process would stop PostgreSQL from starting.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        take_over(self.data)
        options = {"listen_addresses": "", "unix_socket_directories": str(self.run), **self.settings}
        arguments: list[str | Path] = [(self._programs or binaries()) / "postgres", "-D", self.data]
        for name, value in options.items():
            arguments += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            self._child = as_server(arguments, stdout=log, stderr=log)
        if self._guard:
            self._guard.watch(self._child.pid)
        self._wait_until_ready()

    def stop(self, *, crash: bool = False) -> None:
        """Disconnect everybody and stop. `crash` ends it as a power cut would: the next start has to recover."""
        process = self._find() or self._young_child()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
                try:
                    poll(lambda: has_ended(process), timeout_s=_STOP_TIMEOUT_S, what="PostgreSQL to stop")
                except TimeoutError:
                    process.kill()
        if self._child is not None:
            self._child.wait(_STOP_TIMEOUT_S)
            if self._guard:
                self._guard.forget(self._child.pid)
            self._child = None

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start on the same address."""
        self.stop(crash=crash)
        self.start()

    def create_database(self, name: str) -> str:
        """Make the database unless it exists, and return its address."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
        return self.url(name)

    def _find(self) -> psutil.Process | None:
        """The server of this data folder. A stale pid file, even with a reused number, finds nothing."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            if not has_ended(process) and str(self.data) in process.cmdline():
                return process
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        return None

    def _young_child(self) -> psutil.Process | None:
        """Our own server that has not written its pid file yet."""
        if self._child is None or self._child.poll() is not None:
            return None
        return psutil.Process(self._child.pid)

    def _initdb(self) -> None:
        """Make the data folder, all of it or nothing: what an interruption left is never taken for a cluster."""
        building = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        give_to_server(building)
        initdb = (self._programs or binaries()) / "initdb"
        command: list[str | Path] = [initdb, "-D", building, "-U", "postgres", "--encoding=UTF8"]
        # The folder of the socket is closed to others, so whoever reaches it is its owner; TCP is off altogether.
        command += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
        # The built-in locales came with PostgreSQL 17; another one may be older.
        builtin = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--locale=C.UTF-8"] if self._programs else builtin
        if self.settings.get("fsync") == "off":
            command.append("--no-sync")
        process = as_server(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate()
        except BaseException:
            process.kill()
            process.communicate()
            raise
        if process.returncode != 0:
            lines = errors.decode(errors="replace").strip().splitlines()
            reason = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
            raise DevstackError(f"cannot make a PostgreSQL data folder in {self.data}: {reason}")
        if self.data.exists():
            self.data.rmdir()
        building.rename(self.data)

    def _wait_until_ready(self) -> None:
        try:
            poll(self._ready, timeout_s=_START_TIMEOUT_S, what="PostgreSQL")
        except TimeoutError as error:
            raise DevstackError(f"PostgreSQL did not start: {error} (log: {self.log})") from error

    def _ready(self) -> bool:
        if self._child is not None and self._child.poll() is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            reason = next((line for line in reversed(lines) if "FATAL" in line), lines[-1] if lines else "no message")
            raise DevstackError(f"PostgreSQL did not start: {reason} (log: {self.log})")
        with contextlib.suppress(FileNotFoundError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                try:
                    psycopg.connect(self.admin_url, connect_timeout=5).close()
                    return True
                except psycopg.OperationalError:
                    return False
        return False


def folder_id(folder: Path) -> str:
    """A short name for a data folder: one cluster for each."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]


def cluster_folder(data_folder: Path) -> Path:
    """Where the cluster of a data folder lies: inside it, or as root beside it, where PostgreSQL's user may go."""
    if is_root():
        return ROOT_STATE / folder_id(data_folder)
    return data_folder.resolve() / "postgres"


def development_server(data_folder: Path) -> PostgresServer:
    """The server of a data folder; nothing is started. Data survive `stop`, a crash, and the loss of the supervisor."""
    home = cluster_folder(data_folder)
    if is_root():
        root_folder(home)
        (home / "data-folder").write_text(f"{data_folder.resolve()}\n")
    else:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
    data, run = home / "data", home / "run"
    if len(str(run / ".s.PGSQL.5432").encode()) > _LONGEST_SOCKET_BYTES:
        run = _short_run_folder(data_folder)
    run.mkdir(mode=0o700, exist_ok=True)
    if not is_root() and (run.is_symlink() or run.stat().st_uid != os.geteuid()):
        raise DevstackError(f"{run} belongs to somebody else; remove it")
    give_to_server(run)
    return PostgresServer(data, run, home / "postgres.log", settings=DEVELOPMENT)


def remove(data_folder: Path) -> None:
    """Delete the cluster of a data folder; its server must be stopped. Raises DevstackError if something stays."""
    home = cluster_folder(data_folder)
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(_short_run_folder(data_folder), ignore_errors=True)
    if home.exists():
        raise DevstackError(f"cannot delete {home}")


def _short_run_folder(data_folder: Path) -> Path:
    return Path("/tmp") / f"contactship-{os.geteuid()}-{folder_id(data_folder)}"  # noqa: S108  (owner is checked)


@contextlib.contextmanager
def temporary_server(guard: Guard) -> Iterator[PostgresServer]:
    """A started server for tests, fast and not durable; it and its data are gone afterwards, kill -9 included."""
    # Not the user's TMPDIR: it may be long (socket path) or closed to PostgreSQL's user.
    home = Path(tempfile.mkdtemp(prefix="contactship-pg-", dir="/tmp"))
    guard.remove(home)
    give_to_server(home)
    (home / "run").mkdir()
    give_to_server(home / "run")
    server = PostgresServer(home / "data", home / "run", home / "postgres.log", settings=TESTS, guard=guard)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
