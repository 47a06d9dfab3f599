"""What operators see of running processes: traces at a collector, error reports, one id in every log, health, metrics."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from system_testkit import Scene, SceneFactory
from vendors.otlp_server import OtlpServer, SeenSpan
from vendors.sentry_server import SentryServer
from vendors.webhook_receiver import WebhookReceiver

pytestmark = pytest.mark.system

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
PERSON = "ana.privada@example.com"


@pytest.fixture
def collector() -> Iterator[OtlpServer]:
    with OtlpServer() as server:
        yield server


@pytest.fixture
def sentry() -> Iterator[SentryServer]:
    with SentryServer() as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as server:
        yield server


def _lines(scene: Scene, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in scene.stack.logs(name).splitlines() if line.startswith("{")]


def _events(scene: Scene, name: str, field: str, value: str) -> set[str]:
    return {line["event"] for line in _lines(scene, name) if line.get(field) == value}


def _meeting(scene: Scene) -> str:
    client = scene.call("POST", "/clients", 201, json={"name": "Ana", "email": PERSON})
    seller = scene.call("POST", "/sellers", 201, json={"name": "Toro", "email": "toro@example.com"})
    body = {
        "clientId": client["id"],
        "sellerId": seller["id"],
        "meetingAt": "2024-03-15T15:00:00Z",
        "transcript": "Hola",
    }
    return str(scene.call("POST", "/meetings", 201, json=body)["id"])


def test_one_id_and_one_trace_lead_through_every_process_to_the_receiver(
    make_scene: SceneFactory, collector: OtlpServer, sentry: SentryServer, receiver: WebhookReceiver
) -> None:
    scene = make_scene(
        "api", "scheduler", "ai_worker", "delivery_worker", "sync_worker",
        env={
            "AI_PROVIDERS": "local",
            "CALLBACK_SIGNING_SECRET": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "OUTBOUND_ALLOW_CIDRS": "127.0.0.1/32",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "SENTRY_DSN": sentry.dsn,
        },
    )  # fmt: skip
    headers = {"x-request-id": "order-4711", "traceparent": CALLER}
    wanted = {"callbackUrl": receiver.url()}
    scene.call("POST", f"/workers/classify/{_meeting(scene)}", 202, json=wanted, headers=headers)
    [heard] = receiver.wait_for(1, seconds=30)
    assert heard.headers["x-request-id"] == "order-4711"

    def whole() -> dict[str, SeenSpan] | None:
        ours = {span.name: span for span in collector.spans if span.trace_id == TRACE_ID}
        return ours if len(ours) >= 5 else None

    found = scene.until(whole, "the trace at the collector", seconds=30)
    assert found is not None
    chain = [
        ("contactship-api", "POST /api/v1/workers/classify/{meeting_id}"),
        ("contactship-ai-worker", "task meeting.classification"),
        ("contactship-ai-worker", "chat local-rules"),
        ("contactship-delivery-worker", "task outbound.deliver"),
        ("contactship-delivery-worker", "deliver webhook"),
    ]
    assert {(span.service, span.name) for span in found.values()} == set(chain)
    request, task, call, deliver, attempt = (found[name] for _, name in chain)
    assert request.parent_id == "00f067aa0ba902b7"
    assert (task.parent_id, call.parent_id) == (request.span_id, task.span_id)
    assert (deliver.parent_id, attempt.parent_id) == (task.span_id, deliver.span_id)
    assert heard.headers["traceparent"] == f"00-{TRACE_ID}-{attempt.span_id}-01"
    # The same id finds the lines of all three processes, and so does the trace's.
    assert _events(scene, "api", "request_id", "order-4711") == {"request.finished"}
    assert _events(scene, "ai_worker", "correlation_id", "order-4711") >= {"ai_call.finished", "task.ran"}
    assert _events(scene, "delivery_worker", "correlation_id", "order-4711") == {"outbound.delivered", "task.ran"}
    for name in ("api", "ai_worker", "delivery_worker"):
        assert _events(scene, name, "trace_id", TRACE_ID)

    # Every process exports its metrics and says how it is.
    for name in scene.stack.names:
        url = scene.stack.process(name).url
        assert "contactship_" in httpx.get(f"{url}/metrics").text
        assert httpx.get(f"{url}/health").json()["status"] == "ok", name
    ai = httpx.get(f"{scene.stack.process('ai_worker').url}/health").json()
    assert ai["info"] == {"redis": {"status": "up"}, "ai": {"status": "up", "providers": {"local": "closed"}}}
    assert sentry.received == []  # nothing unexpected has happened

    # A table that is gone is a bug that nobody foresaw.
    scene.sql("ALTER TABLE persons RENAME TO persons_gone")
    body = {"firstName": "Ana", "lastName": "Privada", "email": PERSON, "phone": "+34 612 345 678"}
    broke = scene.call("POST", "/leads", 500, json=body, headers={"x-request-id": "order-4712"})
    assert broke["code"] == "internal_error"
    scene.call("GET", "/leads", 500, params={"search": "words-of-the-caller"})
    sentry.wait_for(2)
    event = sentry.events[0]
    assert event["exception"]["values"][-1]["type"] == "UndefinedTable"
    assert event["tags"] == {
        "process": "api", "event": "request.broke", "request_id": "order-4712", "route": "/api/v1/leads",
    }  # fmt: skip
    assert (event["environment"], event["release"]) == ("test", "contactship@0.1.0")
    for personal in (PERSON, "Privada", "612 345", "612345678", "words-of-the-caller", scene.stack.api_key):
        assert personal not in "".join(sentry.texts)
    assert all(PERSON not in request.body.decode("latin-1") for request in collector.received)
    scene.sql("ALTER TABLE persons_gone RENAME TO persons")
