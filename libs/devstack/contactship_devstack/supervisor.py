"""`make run`: servers, migrations, the five processes, one banner, and a clean end."""

import os
import signal
import subprocess
import time
from types import FrameType

from contactship_devstack.banner import Facts, banner
from contactship_devstack.console import Console
from contactship_devstack.data_folder import DataFolder, Running
from contactship_devstack.environment import api_port, is_set, without_password
from contactship_devstack.errors import DevstackError
from contactship_devstack.guard import Guard
from contactship_devstack.polling import free_port, why_not_free
from contactship_devstack.processes import KINDS, READY_TIMEOUT_S, ManagedProcess, describe_exit, script
from contactship_devstack.reload import Changes
from contactship_devstack.restarts import MAX_DEATHS, WINDOW_S, Backoff
from contactship_devstack.servers import Servers, start_servers

_TICK_S = 0.1
_SERVER_CHECK_S = 2.0


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception: nothing on the way may take it for a failure."""


_SECRETS = ("API_SECRET_KEY", "JWT_SECRET", "CALLBACK_SIGNING_SECRET")
_WEBHOOK_TOKENS = ("BUILDERBOT_WEBHOOK_TOKEN", "ELEVENLABS_WEBHOOK_TOKEN", "TWILIO_WEBHOOK_TOKEN")
"""Random ones of the data folder where none are set: without any, the routes of incoming webhooks are not there."""


class Supervisor:
    """Starts the stack of one data folder and keeps it running until it is told to stop."""

    def __init__(self, data: DataFolder, console: Console, *, reload: bool = False) -> None:
        self._data = data
        self._console = console
        self._changes = Changes() if reload else None
        self._stopping = False
        self._hurry = False
        self._guard: Guard | None = None
        self._servers: Servers | None = None
        self._processes: dict[str, ManagedProcess] = {}
        self._backoff = {name: Backoff() for name in KINDS}
        self._not_ready = set(KINDS)

    def run(self) -> None:
        """Return after a clean stop. Raises DevstackError, with everything stopped, if the stack cannot go on."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._data.lock()
        try:
            port = self._free_api_port()
            self._servers = start_servers(self._data)
            self._migrate()
            self._guard = Guard()
            self._start_processes(port)
            self._watch()
        except _Stopped:
            self._console.say("stopping …")
        finally:
            self._shut_down()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._stopping:
            self._stopping = True
            raise _Stopped
        self._hurry = True  # asked twice: do not wait for running work

    def _free_api_port(self) -> int:
        port = api_port()
        if reason := why_not_free(port):
            raise DevstackError(
                f"cannot listen on port {port} ({reason}); choose another one: PORT={port + 1} make run"
            )
        return port

    def _migrate(self) -> None:
        assert self._servers is not None
        done = subprocess.run(
            [script("contactship-migrate")],
            env={**os.environ, **self._servers.environment},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise DevstackError(f"migrations failed: {lines[-1] if lines else describe_exit(done.returncode)}")

    def _start_processes(self, port: int) -> None:
        assert self._servers is not None
        # This machine only, unless somebody asks for more: the first administrator's password is a published one.
        defaults = {"HOST": "127.0.0.1", "WORKER_HEALTH_HOST": "127.0.0.1"}
        # So that providers simulated on this machine can report back.
        defaults["PUBLIC_BASE_URL"] = f"http://127.0.0.1:{port}"
        for name in (*_SECRETS, *_WEBHOOK_TOKENS):
            defaults[name] = os.environ.get(name) or self._data.secret(name)
        environment = {**defaults, **{k: v for k, v in os.environ.items() if v}, **self._servers.environment}
        environment.pop("APP_PORT", None)
        environment["FORCE_COLOR" if self._console.colour else "NO_COLOR"] = "1"
        for kind in KINDS.values():
            chosen = port if kind.name == "api" else free_port()
            self._processes[kind.name] = ManagedProcess(kind.name, kind, chosen, environment, guard=self._guard)
        for process in self._processes.values():
            self._start(process)

    def _start(self, process: ManagedProcess) -> None:
        process.start()
        assert process.stdout is not None
        self._console.follow(process.name, process.stdout)

    def _watch(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        next_server_check = 0.0
        while True:
            for process in self._processes.values():
                self._revive(process)
            if self._not_ready:
                self._not_ready -= {name for name in self._not_ready if self._is_ready(self._processes[name])}
                if not self._not_ready:
                    self._announce()
                elif time.monotonic() > deadline:
                    raise DevstackError(f"not ready after {READY_TIMEOUT_S:g} s: {', '.join(sorted(self._not_ready))}")
            if time.monotonic() > next_server_check:
                next_server_check = time.monotonic() + _SERVER_CHECK_S
                self._check_servers()
                self._reload()
            time.sleep(_TICK_S)

    def _is_ready(self, process: ManagedProcess) -> bool:
        return process.running and process.is_ready()

    def _revive(self, process: ManagedProcess) -> None:
        backoff = self._backoff[process.name]
        if process.running:
            return
        if not backoff.waiting:
            ended = f"{process.name} ended with {describe_exit(process.returncode)}"
            wait_s = backoff.died()
            if wait_s is None:
                self._console.drain(name=process.name)
                raise DevstackError(
                    f"{ended}, {MAX_DEATHS} times within {WINDOW_S:g} s: giving up; its last lines say why"
                )
            self._console.say(f"{ended}; starting it again in {wait_s:g} s")
        if backoff.take():
            self._start(process)

    def _check_servers(self) -> None:
        assert self._servers is not None
        for name in self._servers.revive():
            self._console.say(f"{name} had ended and was started again")

    def _reload(self) -> None:
        if self._changes is None or not (changed := self._changes.processes()):
            return
        self._console.say(f"source changed: restarting {', '.join(changed)}")
        for name in changed:
            self._processes[name].ask_to_stop()
        for name in changed:
            self._processes[name].wait_until_stopped()
            self._start(self._processes[name])

    def _announce(self) -> None:
        assert self._servers is not None
        api = self._processes["api"]
        health = {name: process.url for name, process in self._processes.items() if name != "api"}
        self._data.announce(Running(os.getpid(), api.url, self._servers.database_url, self._servers.redis_url, health))
        where = self._servers.postgres
        facts = Facts(
            api_url=api.url,
            api_key=api.environment["API_SECRET_KEY"],
            login=self._login(),
            data_folder=self._data.path,
            database=f"embedded, data in {where.data}" if where else without_password(self._servers.database_url),
            redis="embedded, append-only file" if self._servers.valkey else without_password(self._servers.redis_url),
            health_urls=health,
        )
        self._console.plain(banner(facts))

    def _login(self) -> str:
        if is_set("SUPER_ADMIN_EMAIL", "SUPER_ADMIN_PASSWORD"):
            return f"{os.environ.get('SUPER_ADMIN_EMAIL') or 'admin@contactship.com'} / as set in SUPER_ADMIN_PASSWORD"
        return "admin@contactship.com / admin123 (development only)"

    def _shut_down(self) -> None:
        """Processes first, so that running work can still be written down; servers last."""
        self._stopping = True
        self._data.withdraw()
        for process in self._processes.values():
            process.ask_to_stop()
        for process in self._processes.values():
            while process.running and not self._hurry and not process.stop_overdue:
                time.sleep(_TICK_S)
            process.kill()
        self._console.drain()
        if self._servers:
            self._servers.stop()
        if self._guard:
            self._guard.close()


def run(*, reload: bool = False) -> None:
    """The whole of `make run` (and `make dev` with `reload`), on the data folder of the environment."""
    console = Console()
    data = DataFolder.of_environment()
    console.say(f"starting; data folder {data.path}")
    Supervisor(data, console, reload=reload).run()
    console.say("stopped")
