"""Request ids, trace context, log lines, security headers, CORS."""

from typing import Any

import httpx
import pytest
import structlog
from api_testkit import Api, MakeApi, Sql, assert_problem, make_lead, new_lead

LEADS = "/api/v1/leads"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_sane_request_id_is_taken_over_everywhere(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    with structlog.testing.capture_logs() as logs:
        answer = await api.post(
            f"{LEADS}/{lead['id']}/summarize", headers={"x-request-id": "client-id_1.2", "traceparent": TRACE}
        )
    assert answer.headers["x-request-id"] == "client-id_1.2"
    [task] = await sql("SELECT correlation_id, traceparent, requested_by FROM tasks")
    assert task == {"correlation_id": "client-id_1.2", "traceparent": TRACE, "requested_by": "key:root"}
    [line] = [log for log in logs if log["event"] == "request.finished"]
    assert line["route"] == "/api/v1/leads/{lead_id}/summarize"
    assert (line["status"], line["caller"], line["method"]) == (202, "key:root", "POST")


async def test_the_request_id_is_bound_for_every_log_line(api: Api, sql: Sql) -> None:
    await api.post(LEADS, json=new_lead(), headers={"x-request-id": "seen"})
    assert structlog.contextvars.get_contextvars().get("request_id") in (None, "seen")
    [audit] = await sql("SELECT request_id FROM audit_logs")
    assert audit["request_id"] == "seen"


@pytest.mark.parametrize("given", ["", "with space", "x" * 129, "é", "a;b", "<script>", "../x"])
async def test_any_other_request_id_is_replaced(shared_api: Api, given: str) -> None:
    answer = await shared_api.anonymous.get("/ping", headers={"x-request-id": given.encode("latin-1")})  # type: ignore[dict-item]
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize("given", ["", "00-x", TRACE.upper(), TRACE + "-extra", "01" + TRACE[2:]])
async def test_a_broken_traceparent_is_dropped(api: Api, sql: Sql, given: str) -> None:
    lead = await make_lead(api)
    await api.post(f"{LEADS}/{lead['id']}/summarize", headers={"traceparent": given})
    assert await sql("SELECT traceparent FROM tasks") == [{"traceparent": None}]


async def test_log_lines_carry_no_input(api: Api) -> None:
    with structlog.testing.capture_logs() as logs:
        lead = await make_lead(api, email="secret.person@example.com", phone="+34 612 345 678")
        await api.get(LEADS, params={"search": "secret.person"})
        await api.get(f"{LEADS}/{lead['id']}")
    text = str(logs)
    for secret in ("secret.person", "612", lead["id"], "root-key"):
        assert secret not in text


@pytest.mark.parametrize("path", ["/ping", "/api/v1/leads", "/nowhere", "/api/docs", "/api/openapi.json"])
async def test_security_headers_are_on_every_answer(shared_api: Api, path: str) -> None:
    headers = (await shared_api.anonymous.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "strict-transport-security" not in headers
    assert "server" not in headers


async def test_production_demands_https(make_api: MakeApi) -> None:
    api = await make_api(environment="production")
    assert "max-age" in (await api.anonymous.get("/ping")).headers["strict-transport-security"]


async def preflight(api: Api, origin: str, **headers: str) -> httpx.Response:
    asked = {"origin": origin, "access-control-request-method": "PATCH", **headers}
    return await api.anonymous.options(LEADS, headers=asked)


async def test_a_listed_origin_may_send_credentials(make_api: MakeApi) -> None:
    api = await make_api(cors_origin=["https://app.example.com", "https://b.example.com"])
    answer = await api.get(LEADS, headers={"origin": "https://app.example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    asked = "authorization,content-type,idempotency-key,if-match,x-request-id,traceparent,x-api-key"
    allowed = await preflight(api, "https://b.example.com", **{"access-control-request-headers": asked})
    assert allowed.status_code == 200
    assert "PATCH" in allowed.headers["access-control-allow-methods"]


async def test_another_origin_is_refused_by_the_browser_and_never_a_500(make_api: MakeApi) -> None:
    api = await make_api(cors_origin=["https://app.example.com"])
    answer = await api.get(LEADS, headers={"origin": "https://evil.example.com"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    refused = await preflight(api, "https://evil.example.com")
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


async def test_a_star_allows_everybody_without_credentials(make_api: MakeApi) -> None:
    api = await make_api(cors_origin=["*"])
    for answer in (
        await api.get(LEADS, headers={"origin": "https://any.example.com"}),
        await preflight(api, "https://any.example.com"),
    ):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers


async def test_problems_are_readable_across_origins(make_api: MakeApi) -> None:
    api = await make_api(cors_origin=["https://app.example.com"])
    answer = await api.anonymous.get(LEADS, headers={"origin": "https://app.example.com"})
    assert_problem(answer, 401)
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_without_the_setting_there_is_no_cors(shared_api: Api) -> None:
    headers: Any = (await shared_api.get(LEADS, headers={"origin": "https://any.example.com"})).headers
    assert not [name for name in headers if name.startswith("access-control")]
