"""What everybody may read: the service itself, its health, its document."""

import re
from typing import Any

import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


async def test_the_root_says_what_this_is(api: Api) -> None:
    body = (await api.anonymous.get("/")).json()
    assert body["name"] == "Contactship API"
    assert set(body) == {"name", "version", "description"}


async def test_ping_tells_the_time_in_utc(api: Api) -> None:
    body = (await api.anonymous.get("/ping")).json()
    assert body["status"] == "ok"
    assert TIMESTAMP.fullmatch(body["timestamp"])


async def test_liveness_asks_nobody(api: Api) -> None:
    answer = await api.anonymous.get("/health/liveness")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/health", "/health/readiness"])
async def test_health_names_the_parts_and_is_degraded_without_workers(api: Api, path: str) -> None:
    answer = await api.anonymous.get(path)
    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "degraded"
    assert set(body["info"]) == {"database", "redis", "workers", "ai"} | ({"inbox"} if path == "/health" else set())
    assert body["info"]["database"]["status"] == "up"
    assert body["info"]["redis"]["status"] == "up"
    assert body["info"]["workers"]["status"] == "down"


async def workers_live(sql: Sql) -> None:
    for queue in ("ai", "sync", "delivery"):
        await sql(
            "INSERT INTO worker_heartbeats (id, kind, queue, threads, running) VALUES (%s, %s, %s, 1, 0)",
            f"w-{queue}",
            queue,
            queue,
        )


async def test_health_is_ok_when_every_queue_has_a_live_worker(api: Api, sql: Sql) -> None:
    await workers_live(sql)
    assert (await api.anonymous.get("/health")).json()["status"] == "ok"


async def test_a_webhook_that_nobody_handles_degrades_health_after_five_minutes(api: Api, sql: Sql) -> None:
    await workers_live(sql)
    await sql(
        "INSERT INTO webhook_inbox (id, provider, kind, key, headers, query, attempts, received_at, error, handled_at)"
        " SELECT gen_random_uuid(), 'twilio', 'sms_status', key, '{}', '{}', 0, now() - age, error, handled_at"
        "   FROM (VALUES ('young', interval '4 min', NULL::jsonb, NULL::timestamptz),"
        "                ('not understood', interval '2 days', '{\"code\": \"unknown_kind\"}', NULL),"
        "                ('done', interval '2 days', NULL, now())) AS entries (key, age, error, handled_at)"
    )
    body = (await api.anonymous.get("/health")).json()
    assert (body["status"], body["info"]["inbox"]) == ("ok", {"status": "up", "stuck": 0, "notUnderstood": 1})
    await sql("UPDATE webhook_inbox SET received_at = now() - interval '6 min' WHERE key = 'young'")
    answer = await api.anonymous.get("/health")
    inbox = answer.json()["info"]["inbox"]
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert (inbox["status"], inbox["stuck"], inbox["notUnderstood"]) == ("down", 1, 1)
    assert 360 <= inbox["oldestStuckSeconds"] < 400
    assert (await api.anonymous.get("/health/readiness")).json()["status"] == "ok"


async def test_health_tells_how_long_the_oldest_task_has_waited(api: Api, sql: Sql) -> None:
    assert (await api.anonymous.get("/health")).json()["info"]["workers"]["oldestWaitingSeconds"] == 0
    lead = (await api.post("/api/v1/leads", json={"firstName": "A", "lastName": "B", "email": "a@example.com"})).json()
    await api.post(f"/api/v1/leads/{lead['id']}/summarize")
    await sql("UPDATE tasks SET run_at = now() - interval '90 s'")
    assert (await api.anonymous.get("/health")).json()["info"]["workers"]["oldestWaitingSeconds"] >= 90


async def test_metrics_can_be_kept_for_whoever_has_the_token(make_api: MakeApi) -> None:
    api = await make_api(metrics_token="for-prometheus")
    assert_problem(await api.anonymous.get("/metrics"), 401)
    answer = await api.anonymous.get("/metrics", headers={"authorization": "Bearer for-prometheus"})
    assert "contactship_http_requests_total" in answer.text


async def test_metrics_name_routes_by_template_and_never_by_id(api: Api) -> None:
    await api.get("/api/v1/leads/01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f")
    await api.get("/api/v1/nowhere/at-all")
    text = (await api.anonymous.get("/metrics")).text
    assert 'route="/api/v1/leads/{lead_id}"' in text
    assert "01932d5c" not in text
    assert "at-all" not in text


async def test_the_docs_page_needs_nothing_from_the_internet(api: Api) -> None:
    page = await api.anonymous.get("/api/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    script = await api.anonymous.get("/api/docs/assets/swagger-ui-bundle.js")
    assert script.status_code == 200
    assert_problem(await api.anonymous.get("/api/docs/assets/../app.py"), 404)


async def test_the_document_is_public(api: Api) -> None:
    document: dict[str, Any] = (await api.anonymous.get("/api/openapi.json")).json()
    assert document["info"]["title"] == "Contactship API"
