"""A RabbitMQ server of a test's own, where the machine has the program. Debian: `apt-get install rabbitmq-server`."""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pika
from pika.exceptions import AMQPError

from contactship_devstack.guard import Guard
from contactship_devstack.polling import free_port, poll

logging.getLogger("pika").setLevel(logging.CRITICAL)  # it logs each refused connection of a wait

_START_TIMEOUT_S = 90.0
_FOLDERS = (Path("/usr/lib/rabbitmq/bin"), Path("/usr/sbin"), Path("/opt/rabbitmq/sbin"))


def program() -> Path | None:
    """The server's start script; None where RabbitMQ is not installed."""
    # The scripts on Debian's PATH change the user first; the ones behind them run as whoever calls them.
    for folder in _FOLDERS:
        if (folder / "rabbitmq-server").exists():
            return folder / "rabbitmq-server"
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


class RabbitServer:
    """Loopback only, data and cookie in `folder`, a port mapper of its own that ends with it."""

    def __init__(self, folder: Path, guard: Guard) -> None:
        self.folder = folder
        self._guard = guard
        self.port = free_port()
        start_script = program()
        if start_script is None:
            raise RuntimeError("RabbitMQ is not installed")
        self._script = start_script
        self._child: subprocess.Popen[bytes] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        config = folder / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users.guest = true\n")
        (folder / "plugins").write_text("[].\n")
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"contactship-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    @property
    def pid(self) -> int:
        if self._child is None:
            raise RuntimeError("RabbitMQ is not running")
        return self._child.pid

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def start(self) -> None:
        if self._mapper is None:
            # Erlang would start it as a daemon that outlives everything.
            self._mapper = self._launch("epmd")
        self._child = self._launch(self._script)
        poll(self._answers, timeout_s=_START_TIMEOUT_S, what="RabbitMQ to start", interval_s=0.2)

    def kill(self) -> None:
        """SIGKILL to the whole server, which forgets every message that is not on disk."""
        self._end(self._child)
        self._child = None

    def close(self) -> None:
        self.kill()
        self._end(self._mapper)
        self._mapper = None

    def _launch(self, program: str | Path) -> "subprocess.Popen[bytes]":
        with (self.folder / "output").open("ab") as output:
            child = subprocess.Popen([program], env=self._env, stdout=output, stderr=output, start_new_session=True)
        self._guard.watch(child.pid)
        return child

    def _end(self, child: "subprocess.Popen[bytes] | None") -> None:
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            self._guard.forget(child.pid)

    def purge(self, queue: str) -> int:
        """Throw away what waits; returns how many messages that were."""
        with self._connection() as connection:
            return int(connection.channel().queue_purge(queue).method.message_count)

    def delete(self, queue: str) -> None:
        with self._connection() as connection:
            connection.channel().queue_delete(queue)

    def waiting(self, queue: str) -> int:
        with self._connection() as connection:
            return int(connection.channel().queue_declare(queue, passive=True).method.message_count)

    def _connection(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.url))

    def _answers(self) -> bool:
        if self._child is not None and self._child.poll() is not None:
            raise RuntimeError(f"RabbitMQ ended: {(self.folder / 'output').read_text()[-2000:]}")
        try:
            self._connection().close()
        except (AMQPError, OSError):
            return False
        return True


@contextlib.contextmanager
def running(folder: Path, guard: Guard) -> Iterator[RabbitServer]:
    server = RabbitServer(folder, guard)
    try:
        server.start()
        yield server
    finally:
        server.close()
