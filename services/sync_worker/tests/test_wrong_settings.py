"""A process with a wrong setting does not start, and says which one in one line."""

import os

import pytest

from contactship_devstack import fork


def refusal(program: str, **env: str) -> str:
    """What the process says when it ends; asserts that it ended by itself, with status 1."""
    known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    run = fork.run(program, env=known | env)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    return run.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("program", ["contactship-scheduler", "contactship-sync-worker"])
def test_a_wrong_cron_names_its_variable(program: str, database_url: str, redis_url: str) -> None:
    told = refusal(program, DATABASE_URL=database_url, REDIS_URL=redis_url, SYNC_CRON="61 * * * *")
    assert told.startswith(f"{program}: ")
    assert "'61 * * * *' is not a cron expression" in told
    assert "SYNC_CRON" in told


def test_a_wrong_source_is_named(database_url: str, redis_url: str) -> None:
    sources = '{"crm": {"type": "no_such_file", "url": "https://crm.example.com/?key=secret"}}'
    told = refusal(
        "contactship-sync-worker",
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        SYNC_SOURCES=sources,
        WORKER_HEALTH_PORT="0",
    )
    assert "SYNC_SOURCES: crm: there is no type of source 'no_such_file'" in told
    assert "secret" not in told
