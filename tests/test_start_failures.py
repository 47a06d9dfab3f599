"""A process that cannot start says why in one clear line and exits with 1."""

import os
import socket
import subprocess
from collections.abc import Callable

import httpx
import pytest
from system_testkit import SceneFactory

from contactship_devstack import fork
from contactship_devstack.processes import KINDS, ManagedProcess, script

pytestmark = pytest.mark.system

Start = Callable[..., subprocess.CompletedProcess[str]]


def _start(kind: str, start: Start = fork.run, **settings: str) -> tuple[int, list[str]]:
    """Exit code and lines of a start with these settings alone."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"ENVIRONMENT": "test", "HOST": "127.0.0.1", "WORKER_HEALTH_HOST": "127.0.0.1"} | settings
    done = start(KINDS[kind].script, env=environment)
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


def _script(name: str, *, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The console script itself, as an operator starts it."""
    return subprocess.run([script(name)], env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("named", "settings", "start"),
    [
        ("DATABASE_URL", {"DATABASE_URL": "mysql://root@127.0.0.1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}, _script),
        ("REDIS_URL", {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, fork.run),
    ],
    ids=["wrong database", "no redis"],
)
def test_a_wrong_setting_is_named_in_one_line(kind: str, named: str, settings: dict[str, str], start: Start) -> None:
    code, lines = _start(kind, start, **settings)
    assert code == 1, lines
    assert len(lines) == 1, lines
    assert named in lines[0]
    assert lines[0].startswith(KINDS[kind].script)


@pytest.mark.parametrize("kind", KINDS)
def test_a_taken_port_is_named_in_one_line(kind: str, database_url: str, redis_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        variable = KINDS[kind].port_variable
        code, lines = _start(kind, DATABASE_URL=database_url, REDIS_URL=redis_url, **{variable: port})
    assert code == 1, lines
    told = [line for line in lines if variable in line]
    assert len(told) == 1, lines
    assert port in told[0]
    assert not any("Traceback" in line for line in lines), lines


def test_processes_that_start_before_their_servers_wait_for_them(make_scene: SceneFactory) -> None:
    scene = make_scene(own_postgres=True, env={"AI_PROVIDERS": "local"})
    assert scene.stack.postgres
    assert scene.stack.valkey
    scene.stack.postgres.stop()
    scene.stack.valkey.kill()
    started = scene.stack.start("api", "scheduler", "ai_worker", wait=False)
    for process in started:
        scene.until(lambda p=process: _is_alive(p), f"{process.name} to serve")
        assert not process.is_ready()
    scene.stack.postgres.start()
    scene.stack.valkey.start()
    for process in started:
        scene.until(process.is_ready, f"{process.name} to be ready")
        assert process.running
    lead_id, _ = scene.make_lead()
    assert scene.ended(scene.summarize(lead_id))["status"] == "completed"


def _is_alive(process: ManagedProcess) -> bool:
    assert process.running
    try:
        return httpx.get(f"{process.url}/health/liveness", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
