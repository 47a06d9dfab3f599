"""GET /workers/stats and GET /workers/health: what the queues hold, and who works on them."""

from typing import Any

import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem

STATS, HEALTH = "/api/v1/workers/stats", "/api/v1/workers/health"
IDLE = {
    "length": 0, "delayed": 0, "running": 0, "oldestWaitingSeconds": None, "throughputLastHour": 0,
    "failuresLast24Hours": 0, "averageProcessingMs": None, "p95ProcessingMs": None,
}  # fmt: skip


async def task(
    sql: Sql, status: str, *, queue: str = "ai", due: str = "0 s", ended: str | None = None, took_ms: int | None = None
) -> None:
    """A row whose times are counted back from now: `due` and `ended` are intervals ago."""
    await sql(
        """INSERT INTO tasks (id, kind, queue, status, payload, priority, holds, rerun, run_no, failures, max_attempts,
                              run_at, claimed_at, finished_at)
           SELECT gen_random_uuid(), 'lead.summary', %s, %s, '{}', 100, 'ended', false, 0, 0, 3,
                  now() - %s::interval, ended_at - make_interval(secs => %s::float8 / 1000), ended_at
             FROM (SELECT now() - %s::interval AS ended_at) AS e""",
        queue, status, due, took_ms, ended,
    )  # fmt: skip


async def beat(sql: Sql, queue: str, *, silent: str = "0 s", name: str = "") -> None:
    await sql(
        "INSERT INTO worker_heartbeats (id, kind, queue, threads, running, started_at, seen_at) "
        "VALUES (%s, %s, %s, 16, 2, '2026-03-01T10:00:00Z', now() - %s::interval)",
        name or f"{queue}@host", f"{queue}_worker", queue, silent,
    )  # fmt: skip


async def stats(api: Api) -> dict[str, Any]:
    answer = await api.get(STATS)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def queue_of(api: Api, queue: str) -> dict[str, Any]:
    [found] = [row for row in (await stats(api))["queues"] if row.pop("queue") == queue]
    return dict(found)


async def test_idle_queues_are_shown_as_such(api: Api) -> None:
    body = await stats(api)
    assert body["queues"] == [{"queue": queue, **IDLE} for queue in ("ai", "sync", "delivery")]
    assert body["workers"] == []
    assert body["generatedAt"].endswith("Z")


async def test_what_waits_what_is_delayed_and_what_runs(api: Api, sql: Sql) -> None:
    for due in ("90 s", "10 s", "-60 s", "-1 hour", "-1 s"):
        await task(sql, "queued", due=due)
    await task(sql, "running", due="10 minutes")
    await task(sql, "queued", queue="sync", due="5 s")
    ai = await queue_of(api, "ai")
    assert 90 <= ai.pop("oldestWaitingSeconds") < 150
    assert ai == {name: value for name, value in IDLE.items() if name != "oldestWaitingSeconds"} | {
        "length": 2, "delayed": 3, "running": 1,
    }  # fmt: skip
    assert (await queue_of(api, "sync"))["length"] == 1


async def test_throughput_failures_and_times_by_hand(api: Api, sql: Sql) -> None:
    for ms in (100, 200, 300, 400):
        await task(sql, "succeeded", ended="30 minutes", took_ms=ms)
    await task(sql, "failed", ended="59 minutes", took_ms=1_000)
    await task(sql, "failed", ended="23 hours", took_ms=90_000)
    await task(sql, "failed", ended="25 hours", took_ms=90_000)
    await task(sql, "succeeded", ended="61 minutes", took_ms=90_000)
    await task(sql, "cancelled", ended="1 minute")
    await task(sql, "failed", ended="1 minute", queue="sync")  # never claimed: attempts used up
    ai = await queue_of(api, "ai")
    assert (ai["throughputLastHour"], ai["failuresLast24Hours"]) == (5, 2)
    # 100, 200, 300, 400, 1000: mean 400; p95 lies at position 3.8 from 0, so 400 + 0.8 x 600.
    assert (ai["averageProcessingMs"], ai["p95ProcessingMs"]) == (400.0, 880.0)
    sync = await queue_of(api, "sync")
    assert (sync["throughputLastHour"], sync["failuresLast24Hours"], sync["averageProcessingMs"]) == (1, 1, None)


async def test_only_workers_that_spoke_lately_are_alive(api: Api, sql: Sql) -> None:
    await beat(sql, "ai")
    await beat(sql, "ai", silent="31 s", name="silent@host")
    [worker] = (await stats(api))["workers"]
    assert worker.pop("lastHeartbeatAt").endswith("Z")
    assert worker == {
        "id": "ai@host", "kind": "ai_worker", "queue": "ai", "threads": 16, "running": 2,
        "startedAt": "2026-03-01T10:00:00Z",
    }  # fmt: skip


async def test_agents_do_not_see_the_workers(api: Api) -> None:
    assert_problem(await (await api.client_for("SALES_AGENT")).get(STATS), 403, "forbidden")


async def test_health_needs_a_live_worker_a_queue_and_nobody_to_be_logged_in(api: Api, sql: Sql) -> None:
    for queue in ("ai", "sync"):
        await beat(sql, queue)
    await beat(sql, "delivery", silent="31 s")
    answer = await api.anonymous.get(HEALTH)
    assert (answer.status_code, answer.json()) == (503, {"status": "error"})
    await beat(sql, "delivery", name="second@host")
    answer = await api.anonymous.get(HEALTH)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(("broker", "status"), [("redis://127.0.0.1:1/0", 503), ("", 200)])
async def test_health_asks_the_broker_and_not_only_the_cache(
    make_api: MakeApi, sql: Sql, redis_url: str, broker: str, status: int
) -> None:
    api = await make_api(broker_url=broker or f"{redis_url}?client_name=rings")
    for queue in ("ai", "sync", "delivery"):
        await beat(sql, queue)
    assert (await api.anonymous.get(HEALTH)).status_code == status


async def test_a_million_finished_tasks_are_not_read(api: Api, sql: Sql) -> None:
    """Looks at the plan: at this size every part must go through an index that leads to little."""
    await sql(
        """INSERT INTO tasks (id, kind, queue, status, payload, priority, holds, rerun, run_no, failures, max_attempts,
                              run_at, claimed_at, finished_at)
           SELECT gen_random_uuid(), 'lead.summary', 'ai', CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END,
                  '{}', 100, 'ended', false, 1, 0, 3, t, t, t + interval '1 second'
             FROM (SELECT n, now() - interval '30 days' * n / 40000 AS t FROM generate_series(1, 40000) AS n) AS x"""
    )
    await sql("ANALYZE tasks")
    assert (await queue_of(api, "ai"))["throughputLastHour"] == pytest.approx(55, abs=2)

    from contactship_api.workers.queries import _STATS

    statement = str(_STATS).replace(":queues", "ARRAY['ai']").replace(":timed", "50000")
    plan = "\n".join(row["QUERY PLAN"] for row in await sql(f"EXPLAIN {statement}"))
    assert "Seq Scan on tasks" not in plan
