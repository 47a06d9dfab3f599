"""A process that cannot start says why in one clear line and exits with 1."""

import os
import socket
import subprocess

import pytest

from contactship_devstack.processes import KINDS, script

pytestmark = pytest.mark.system


def _start(kind: str, **settings: str) -> tuple[int, list[str]]:
    """Exit code and lines of a start with these settings alone."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"ENVIRONMENT": "test", "HOST": "127.0.0.1", "WORKER_HEALTH_HOST": "127.0.0.1"} | settings
    done = subprocess.run(
        [script(KINDS[kind].script)], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("named", "settings"),
    [
        ("DATABASE_URL", {"DATABASE_URL": "mysql://root@127.0.0.1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}),
        ("REDIS_URL", {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}),
    ],
    ids=["wrong database", "no redis"],
)
def test_a_wrong_setting_is_named_in_one_line(kind: str, named: str, settings: dict[str, str]) -> None:
    code, lines = _start(kind, **settings)
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
