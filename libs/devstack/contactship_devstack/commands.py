"""What can be done beside a running stack, and the test run."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg

from contactship_devstack import postgres, valkey
from contactship_devstack.data_folder import DataFolder
from contactship_devstack.environment import without_password
from contactship_devstack.errors import DevstackError
from contactship_devstack.guard import Guard
from contactship_devstack.pgbinaries import binaries
from contactship_devstack.processes import script
from contactship_devstack.servers import DATABASE, check_database, command_environment, found_servers
from contactship_devstack.template import SHARED_POSTGRES

_MOST_TEST_PROCESSES = 4
_TEST_TIMEOUT_S = 180


def test(arguments: list[str]) -> int:
    """Run pytest on one PostgreSQL that all its processes share. Returns pytest's exit code.

    Several processes and a time limit for each test are defaults: pytest believes the last `-n` and `--timeout`.
    """
    # One more than cores: a third of the tests' time is waiting.
    workers = min(_MOST_TEST_PROCESSES, (os.cpu_count() or 1) + 1)
    defaults = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    defaults += ["--timeout", str(_TEST_TIMEOUT_S)]
    guard = Guard()
    try:
        with postgres.temporary_server(guard) as server:
            # Ctrl-C reaches pytest from the terminal, which then cleans up and says what it has to say. Set before
            # pytest starts: in the background of a script SIGINT is ignored, and it would inherit that.
            signal.signal(signal.SIGINT, lambda *_: None)
            environment = {**os.environ, SHARED_POSTGRES: server.admin_url}
            pytest = subprocess.Popen([sys.executable, "-m", "pytest", *defaults, *arguments], env=environment)
            guard.watch(pytest.pid)
            signal.signal(signal.SIGTERM, lambda *_: _interrupt(pytest.pid))
            code = pytest.wait()
            guard.forget(pytest.pid)
            return code
    finally:
        guard.close()


def _interrupt(pid: int) -> None:
    """What Ctrl-C would do: to the process and those it started, but not to servers, which have their own session."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for member in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(member.pid) == os.getsid(0):
                    member.send_signal(signal.SIGINT)


@contextmanager
def _database() -> Iterator[str]:
    """The database that is configured or runs; else the embedded one, started for as long as this takes."""
    data = DataFolder.of_environment()
    url, _ = found_servers(data)
    if url:
        check_database(url)
        yield url
        return
    data.lock()
    server = postgres.development_server(data.path)
    server.start()
    try:
        yield server.create_database(DATABASE)
    finally:
        server.stop()


def _running_database() -> tuple[str, str]:
    database, redis = found_servers(DataFolder.of_environment())
    if not database:
        raise DevstackError("nothing runs on this data folder; start it with `make run`, or set DATABASE_URL")
    check_database(database)
    return database, redis


def migrate() -> None:
    """Bring the database to the newest schema."""
    with _database() as url:
        done = subprocess.run([script("contactship-migrate")], env=command_environment(url, ""), check=False)
    if done.returncode != 0:
        raise DevstackError("migrations failed")
    print(f"{without_password(url)} has the newest schema")


def revision(arguments: list[str]) -> None:
    """Write a migration for the difference between the models and a freshly migrated database."""
    if len(arguments) != 1 or not arguments[0].strip():
        raise DevstackError('a migration needs a message: make revision m="add a column"')
    from alembic import command

    from contactship_common.migrate import alembic_config, upgrade

    guard = Guard()
    try:
        with postgres.temporary_server(guard) as server:
            url = server.create_database(DATABASE)
            upgrade(url)
            command.revision(alembic_config(url), message=arguments[0], autogenerate=True)
    finally:
        guard.close()


def psql(arguments: list[str]) -> None:
    """Become the wheel's psql on the running database."""
    from contactship_common.db import plain_url

    url, _ = _running_database()
    program = str(binaries() / "psql")
    os.execv(program, [program, plain_url(url), *arguments])  # noqa: S606  (no shell is wanted)


def admin(arguments: list[str]) -> None:
    """Become contactship-admin on the running database."""
    if not arguments:
        raise DevstackError("an administrator needs an e-mail address: make admin EMAIL=you@example.com")
    environment = command_environment(*_running_database())
    program = script("contactship-admin")
    os.execve(program, [program, *arguments], environment)  # noqa: S606  (no shell is wanted)


_COUNTS = """
    SELECT queue, kind, status, count(*), coalesce(round(max(extract(epoch FROM now() - run_at)))::text, '')
    FROM tasks WHERE status IN ('queued', 'running', 'failed') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_FAILURES = """
    SELECT finished_at::timestamp(0)::text, kind, id::text, failures::text, left(coalesce(error::text, ''), 100)
    FROM tasks WHERE status = 'failed' ORDER BY finished_at DESC NULLS LAST LIMIT 10
"""


def tasks() -> None:
    """Print what waits, what runs and what failed."""
    from contactship_common.db import plain_url

    url, _ = _running_database()
    try:
        with psycopg.connect(plain_url(url)) as connection:
            counts = connection.execute(_COUNTS).fetchall()
            failures = connection.execute(_FAILURES).fetchall()
    except psycopg.Error as error:
        raise DevstackError(f"cannot read the tasks: {str(error).strip().splitlines()[0]}") from error
    if not counts:
        print("Nothing waits, nothing runs, nothing failed.")
        return
    _table(["queue", "kind", "status", "count", "oldest due for (s)"], counts)
    if failures:
        print("\nLast failures")
        _table(["finished", "kind", "task", "failures", "error"], failures)


def clean_data() -> None:
    """Stop the embedded servers of the data folder and delete what they keep."""
    data = DataFolder.of_environment()
    data.lock()  # says so if a stack runs
    postgres.development_server(data.path).stop()
    valkey.development_server(data.path).stop()
    postgres.remove(data.path)
    shutil.rmtree(data.path, ignore_errors=True)
    if data.path.exists():
        raise DevstackError(f"cannot delete {data.path}")
    print(f"deleted {data.path}")


def _table(head: list[str], rows: list[tuple[object, ...]]) -> None:
    lines = [head, *([str(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        print("  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip())
