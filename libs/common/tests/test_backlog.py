"""The gauges that operators scale and alert on say what is in the tables."""

from typing import Any

import pytest
from common_testkit import Engine
from prometheus_client import REGISTRY

from contactship_common.tasks.backlog import Backlog
from contactship_devstack.valkey import ValkeyServer

TASK = """
INSERT INTO tasks (id, kind, queue, priority, payload, status, holds, rerun, run_no, failures, max_attempts, run_at)
VALUES (gen_random_uuid(), 'test.plain', %s, 100, '{}', %s, 'ended', false, 0, 0, 5, now() - %s::interval)
"""
BEAT = """
INSERT INTO worker_heartbeats (id, kind, queue, threads, running, started_at, seen_at)
VALUES (%s, %s, %s, 16, 0, now(), now() - %s::interval)
"""
WEBHOOK = """
INSERT INTO webhook_inbox (id, provider, kind, key, headers, query, attempts, error, received_at, handled_at)
VALUES (gen_random_uuid(), 'GENERIC', 'call', gen_random_uuid(), '{}', '{}', 0, %s, now() - %s::interval, %s)
"""


def gauge(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(f"contactship_{name}", labels)
    assert value is not None, name
    return value


async def test_depth_and_age_count_what_is_due_and_nothing_else(engine: Engine, sql: Any) -> None:
    for queue, status, ago in (
        ("ai", "queued", "90 s"),
        ("ai", "queued", "10 s"),
        ("ai", "queued", "-1 hour"),
        ("ai", "running", "1 hour"),
        ("delivery", "queued", "20 s"),
    ):
        await sql(TASK, queue, status, ago)
    await Backlog(engine.runtime).measure()
    assert [gauge("queue_depth", queue=queue) for queue in ("ai", "sync", "delivery")] == [2, 0, 1]
    assert gauge("queue_oldest_seconds", queue="ai") == pytest.approx(90, abs=20)
    assert gauge("queue_oldest_seconds", queue="sync") == 0
    assert gauge("dispatcher_lag_seconds") == pytest.approx(90, abs=20)
    await sql("DELETE FROM tasks")
    await Backlog(engine.runtime).measure()
    assert gauge("queue_depth", queue="ai") == gauge("dispatcher_lag_seconds") == 0


async def test_workers_that_have_fallen_silent_do_not_count(engine: Engine, sql: Any) -> None:
    await sql(BEAT, "a", "ai_worker", "ai", "1 s")
    await sql(BEAT, "b", "ai_worker", "ai", "2 s")
    await sql(BEAT, "c", "sync_worker", "sync", "2 minutes")
    await Backlog(engine.runtime).measure()
    assert [gauge("live_workers", queue=queue) for queue in ("ai", "sync", "delivery")] == [2, 0, 0]


async def test_the_inbox_tells_what_waits_from_what_nobody_understood(engine: Engine, sql: Any) -> None:
    await sql(WEBHOOK, None, "30 s", None)
    await sql(WEBHOOK, '{"code": "not_understood"}', "5 days", None)
    await sql(WEBHOOK, None, "9 days", "2026-01-01T00:00:00Z")
    await Backlog(engine.runtime).measure()
    assert (gauge("inbox_waiting"), gauge("inbox_failed")) == (2, 1)
    assert gauge("inbox_oldest_seconds") == pytest.approx(30, abs=20)


async def test_servers_that_are_away_show(engine: Engine, valkey: ValkeyServer) -> None:
    backlog = Backlog(engine.runtime)
    await backlog.measure()
    assert gauge("database_up") == gauge("redis_up") == 1
    valkey.kill()
    await backlog.measure()
    assert (gauge("database_up"), gauge("redis_up")) == (1, 0)
    valkey.start()
    await backlog.measure()
    assert gauge("redis_up") == 1
    await engine.runtime.db.close()
    with pytest.raises(Exception, match="pool"):
        await backlog.measure()
    assert gauge("database_up") == 0
