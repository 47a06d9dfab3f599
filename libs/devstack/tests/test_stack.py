"""The Stack of the system tests, on stand-ins."""

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from stand_ins.devstack import install

from contactship_devstack import processes
from contactship_devstack.errors import DevstackError
from contactship_devstack.polling import poll
from contactship_devstack.restarts import Backoff
from contactship_devstack.testing import StackFactory


@pytest.fixture(scope="module")
def start_by() -> None:
    """By the scripts, which are stand-ins here."""


@pytest.fixture(autouse=True)
def _stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "script", processes.script)  # put back what install replaces
    install(tmp_path)


def test_any_set_of_processes_starts_several_of_a_kind_included(make_stack: StackFactory) -> None:
    stack = make_stack("scheduler", api=2, ai_worker=3)
    assert stack.names == ["scheduler", "api", "api-2", "ai_worker", "ai_worker-2", "ai_worker-3"]
    assert stack.api_url == stack.api_urls[0]
    assert len(set(stack.api_urls)) == 2
    assert all(stack.process(name).running for name in stack.names)


def test_a_killed_process_starts_again_on_its_port_with_more_settings(make_stack: StackFactory) -> None:
    stack = make_stack("api", "ai_worker")
    url, pid = stack.api_url, stack.process("api").pid
    stack.kill9("api")
    assert stack.process("api").returncode == -9
    assert stack.process("ai_worker").running
    stack.restart("api", env={"EXTRA": "changed"})
    assert stack.api_url == url
    assert stack.process("api").pid != pid
    assert "changed" in stack.logs("api")


def test_a_frozen_process_is_not_ready_until_it_thaws(
    make_stack: StackFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_HEALTH_TIMEOUT_S", 0.2)
    stack = make_stack("sync_worker")
    stack.freeze("sync_worker")
    assert not stack.process("sync_worker").is_ready()
    stack.thaw("sync_worker")
    poll(stack.process("sync_worker").is_ready, timeout_s=5, what="readiness")
    assert stack.sigterm("sync_worker") == 0


def test_a_process_that_does_not_start_fails_with_the_tail_of_its_log(make_stack: StackFactory) -> None:
    stack = make_stack(env={"DIE": "contactship-delivery-worker"})
    with pytest.raises(
        DevstackError, match=r"delivery_worker ended with exit code 3 before it was ready(.|\n)*cannot go on"
    ):
        stack.start("delivery_worker")


def test_each_stack_has_its_own_database_and_redis(make_stack: StackFactory) -> None:
    first, second = make_stack(), make_stack()
    assert first.database_url != second.database_url
    assert first.redis_url != second.redis_url


def test_a_stack_with_its_own_postgresql_may_restart_it(make_stack: StackFactory) -> None:
    stack = make_stack(own_postgres=True)
    assert stack.postgres
    stack.postgres.restart()
    with psycopg.connect(stack.database_url) as connection:
        assert connection.execute("SELECT to_regclass('tasks') IS NOT NULL").fetchone() == (True,)


def test_no_key_of_the_developer_reaches_a_process(make_stack: StackFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "OPENAI_API_KEY", "a real one")
    assert "OPENAI_API_KEY" not in make_stack().env


def test_restarts_wait_longer_each_time_and_the_fifth_within_a_minute_is_a_crash_loop() -> None:
    now = [0.0]
    backoff = Backoff(clock=lambda: now[0])
    waits = [backoff.died() for _ in range(5)]
    assert waits == [0.5, 1.0, 2.0, 4.0, None]


def test_deaths_far_apart_are_no_crash_loop() -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    backoff = Backoff(clock)
    for minute in range(10):
        now[0] = minute * 61.0
        assert backoff.died() == 0.5
        assert not backoff.take()
        now[0] += 0.6
        assert backoff.take()
