"""A trace, followed through the gateway and the workers' handlers in this process: real wiring, real database."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg.rows import dict_row
from vendors.webhook_receiver import Reply, WebhookReceiver

from contactship_ai_worker import main as ai_worker
from contactship_api.app import create_app
from contactship_common import tracing
from contactship_common.runtime import Runtime
from contactship_common.settings import ApiSettings, CoreSettings, SyncSettings
from contactship_common.tasks.runner import Runner
from contactship_delivery_worker import main as delivery_worker
from contactship_delivery_worker.senders import http as senders
from contactship_sync_worker.sources.http import SourceHttp

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE_ID}-b7ad6b7169203331-01"
KEY = "root-key-of-the-tests-0123456789abcdef"


class Spans:
    """What was recorded, by name."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def one(self, name: str) -> ReadableSpan:
        found = [span for span in self.all if span.name == name]
        assert len(found) == 1, [span.name for span in self.all]
        return found[0]

    def text(self) -> str:
        return "".join(span.to_json() for span in self.all)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """Traces are recorded in this test and in no other."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(tracing._switch, "on", True)
    yield Spans(exporter)
    provider.shutdown()


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as server:
        yield server


class Process:
    """Gateway and workers in one: `http` calls the one, `work` lets the others do all there is."""

    def __init__(self, core: CoreSettings, http: httpx.AsyncClient, runners: dict[str, Runner]) -> None:
        self.core = core
        self.http = http
        self.runners = runners

    async def post(self, path: str, status: int, json: Any = None, **headers: str) -> Any:
        answer = await self.http.post(f"/api/v1{path}", json=json, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def work(self) -> list[str]:
        """The kinds of what was done, in that order."""
        done = []
        async with await psycopg.AsyncConnection.connect(
            self.core.database_url, autocommit=True, row_factory=dict_row
        ) as connection:
            while True:
                rows = await connection.execute("SELECT id, kind, queue FROM tasks WHERE status = 'queued' ORDER BY id")
                row = await rows.fetchone()
                if row is None:
                    return done
                # As if the wait of a debounced one had passed.
                await connection.execute("UPDATE tasks SET run_at = now() WHERE id = %s", (row["id"],))
                # As a worker's thread would: in a context of its own, with nothing left of the request's.
                await asyncio.create_task(self.runners[row["queue"]].run(row["id"]))
                done.append(row["kind"])


@pytest.fixture
async def process(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    monkeypatch.setenv("AI_PROVIDERS", "local")
    monkeypatch.setenv("BUILDERBOT_WEBHOOK_TOKEN", "token-of-builderbot")
    core = CoreSettings(
        database_url=database_url,
        redis_url=redis_url,
        environment="test",
        callback_signing_secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        outbound_allow_cidrs="127.0.0.1/32",
    )
    own = ApiSettings(
        environment="test",
        api_secret_key=KEY,
        rate_limit_max=0,
        jwt_secret="secret-of-the-tests-0123456789abcdefghij",
    )
    app = create_app(core, own)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        runtime = Runtime(core)
        await runtime.open()
        stack.push_async_callback(runtime.close)
        runners = {
            queue: Runner(runtime, make(runtime, stack), owner=f"{queue}-1")
            for queue, make in {"ai": ai_worker.make_handlers, "delivery": delivery_worker.make_handlers}.items()
        }
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        http = httpx.AsyncClient(transport=transport, base_url="http://api", headers={"x-api-key": KEY})
        yield Process(core, await stack.enter_async_context(http), runners)


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    return int(span.get_span_context().span_id)  # type: ignore[union-attr]


def traces(spans: list[ReadableSpan]) -> set[str]:
    return {f"{span.get_span_context().trace_id:032x}" for span in spans}  # type: ignore[union-attr]


async def new_lead(process: Process, **fields: str) -> str:
    body = {"firstName": "Ana", "lastName": "García", "email": "ana.garcia@example.com", **fields}
    return str((await process.post("/leads", 201, body))["id"])


async def test_one_trace_leads_from_the_request_through_the_task_to_the_model_call(
    process: Process, spans: Spans
) -> None:
    lead_id = await new_lead(process)
    spans._exporter.clear()
    await process.post(f"/leads/{lead_id}/summarize", 202, traceparent=CALLER, **{"x-request-id": "r-1"})
    assert await process.work() == ["lead.summary"]
    request = spans.one("POST /api/v1/leads/{lead_id}/summarize")
    task = spans.one("task lead.summary")
    call = spans.one("chat local-rules")
    assert traces(spans.all) == {TRACE_ID}
    assert parent_of(request) == 0xB7AD6B7169203331
    assert parent_of(task) == id_of(request)
    assert parent_of(call) == id_of(task)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/api/v1/leads/{lead_id}/summarize",
        "http.response.status_code": 202,
        "contactship.request_id": "r-1",
    }
    told = dict(task.attributes or {})
    assert told.pop("messaging.message.id")
    assert told == {
        "messaging.system": "contactship",
        "messaging.operation.type": "process",
        "messaging.destination.name": "ai",
        "contactship.task.kind": "lead.summary",
        "contactship.task.run_no": 1,
        "contactship.task.outcome": "succeeded",
        "contactship.request_id": "r-1",
    }
    asked = dict(call.attributes or {})
    assert (asked["gen_ai.provider.name"], asked["gen_ai.request.model"]) == ("local", "local-rules")
    assert asked["gen_ai.usage.input_tokens"] == 0


async def test_the_trace_goes_on_to_the_receiver_of_a_callback(
    process: Process, spans: Spans, receiver: WebhookReceiver
) -> None:
    client = await process.post("/clients", 201, {"name": "Ana", "email": "ana@example.com"})
    seller = await process.post("/sellers", 201, {"name": "Toro", "email": "toro@example.com"})
    meeting = {
        "clientId": client["id"], "sellerId": seller["id"], "meetingAt": "2024-03-15T15:00:00Z",
        "transcript": "Somos una tienda de ropa y queremos automatizar la atención por chat.",
    }  # fmt: skip
    meeting_id = (await process.post("/meetings", 201, meeting))["id"]
    spans._exporter.clear()
    wanted = {"callbackUrl": receiver.url("/hook?token=not-for-traces")}
    await process.post(f"/workers/classify/{meeting_id}", 202, wanted, traceparent=CALLER, **{"x-request-id": "r-2"})
    assert await process.work() == ["meeting.classification", "outbound.deliver"]
    classify, deliver = spans.one("task meeting.classification"), spans.one("task outbound.deliver")
    attempt = spans.one("deliver webhook")
    assert traces(spans.all) == {TRACE_ID}
    assert parent_of(deliver) == id_of(classify)
    assert parent_of(attempt) == id_of(deliver)
    assert (attempt.attributes or {})["http.response.status_code"] == 204
    [heard] = receiver.received
    assert heard.headers["traceparent"] == f"00-{TRACE_ID}-{id_of(attempt):016x}-01"
    assert heard.headers["x-request-id"] == "r-2"
    for secret in ("not-for-traces", "tienda", "ana@example.com", "toro@"):
        assert secret not in spans.text()


async def test_a_webhook_that_comes_in_is_one_trace_and_one_id_with_all_that_follows(
    process: Process, spans: Spans, receiver: WebhookReceiver
) -> None:
    await process.post("/webhook-endpoints", 201, {"url": receiver.url(), "events": ["message.received"]})
    spans._exporter.clear()
    message = {"eventName": "message.incoming", "data": {"id": "m1", "from": "5491155551234", "body": "Hola, soy Ana"}}
    headers = {"x-webhook-token": "token-of-builderbot", "x-request-id": "hook-1", "traceparent": CALLER}
    await process.post("/webhooks/builderbot/whatsapp", 200, message, **headers)
    done = await process.work()
    assert {"webhook.handle", "conversation.analysis", "outbound.deliver"} <= {*done}
    async with await psycopg.AsyncConnection.connect(process.core.database_url) as connection:
        ids = await connection.execute("SELECT correlation_id FROM tasks UNION SELECT request_id FROM webhook_inbox")
        assert await ids.fetchall() == [("hook-1",)]
    assert traces(spans.all) == {TRACE_ID}
    assert {heard.headers["x-request-id"] for heard in receiver.received} == {"hook-1"}
    for secret in ("549115", "Hola", "token-of-builderbot"):
        assert secret not in spans.text()


async def test_webhooks_that_are_handled_together_stay_in_traces_of_their_own(process: Process, spans: Spans) -> None:
    callers = {"hook-0": CALLER, "hook-1": f"00-{'7' * 32}-b7ad6b7169203331-01"}
    for n, (request_id, caller) in enumerate(callers.items()):
        message = {"eventName": "message.incoming", "data": {"id": f"m{n}", "from": f"549115555123{n}", "body": "Hola"}}
        headers = {"x-webhook-token": "token-of-builderbot", "x-request-id": request_id, "traceparent": caller}
        await process.post("/webhooks/builderbot/whatsapp", 200, message, **headers)
    spans._exporter.clear()
    await asyncio.create_task(process.runners["delivery"].run(uuid4(), "webhook.handle"))
    assert [span.name for span in spans.all] == ["task webhook.handle"] * 2
    assert traces(spans.all) == {TRACE_ID, "7" * 32}
    async with await psycopg.AsyncConnection.connect(process.core.database_url) as connection:
        rows = await connection.execute(
            "SELECT correlation_id, substr(traceparent, 4, 32) FROM tasks WHERE kind = 'conversation.analysis' ORDER BY 1"
        )
        assert await rows.fetchall() == [("hook-0", TRACE_ID), ("hook-1", "7" * 32)]


async def test_without_a_collector_the_callers_trace_is_handed_on_as_it_came(
    process: Process, receiver: WebhookReceiver
) -> None:
    assert tracing.span("anything") is tracing.OFF
    client = await process.post("/clients", 201, {"name": "Ana", "email": "ana@example.com"})
    seller = await process.post("/sellers", 201, {"name": "Toro", "email": "toro@example.com"})
    meeting = {
        "clientId": client["id"],
        "sellerId": seller["id"],
        "meetingAt": "2024-03-15T15:00:00Z",
        "transcript": "Hola",
    }
    meeting_id = (await process.post("/meetings", 201, meeting))["id"]
    wanted = {"callbackUrl": receiver.url()}
    await process.post(f"/workers/classify/{meeting_id}", 202, wanted, traceparent=CALLER, **{"x-request-id": "r-3"})
    await process.work()
    [heard] = receiver.received
    assert (heard.headers["traceparent"], heard.headers["x-request-id"]) == (CALLER, "r-3")


async def test_spans_hold_nothing_of_paths_queries_and_bodies(process: Process, spans: Spans) -> None:
    lead_id = await new_lead(process, lastName="Apellido-Largo")
    await process.http.get("/api/v1/leads", params={"search": "ana.garcia"})
    await process.http.get(f"/api/v1/leads/{lead_id}")
    await process.http.get("/api/v1/nowhere/private-path")
    await process.post("/leads", 422, {"firstName": "only"})
    assert [span.name for span in spans.all] == [
        "POST /api/v1/leads",
        "GET /api/v1/leads",
        "GET /api/v1/leads/{lead_id}",
        "GET unmatched",
        "POST /api/v1/leads",
    ]
    assert {span.kind for span in spans.all} == {trace.SpanKind.SERVER}
    for secret in ("garcia", lead_id, "private-path", "Apellido", KEY):
        assert secret not in spans.text()
    assert [span.status.is_ok for span in spans.all] == [True] * 5  # a refusal is the caller's error


@pytest.mark.parametrize("path", ["/ping", "/health", "/health/liveness", "/health/readiness", "/metrics"])
async def test_probes_leave_no_spans(process: Process, spans: Spans, path: str) -> None:
    await process.http.get(path)
    assert spans.all == []


async def test_a_new_request_begins_a_new_trace(process: Process, spans: Spans) -> None:
    await process.http.get("/api/v1/leads", headers={"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"})
    await process.http.get("/api/v1/leads")
    assert len(traces(spans.all)) == 2
    assert [span.parent for span in spans.all] == [None, None]


async def test_callers_who_do_not_sample_are_not_traced(process: Process, spans: Spans) -> None:
    lead_id = await new_lead(process)
    spans._exporter.clear()
    await process.post(f"/leads/{lead_id}/summarize", 202, traceparent=CALLER[:-2] + "00")
    await process.work()
    assert spans.all == []


async def test_a_failed_span_names_the_error_and_not_its_text(spans: Spans) -> None:
    with pytest.raises(ValueError), tracing.span("broken", "client", {"left": None, "kept": 1}):
        raise ValueError("ana@example.com")
    broken = spans.one("broken")
    assert dict(broken.attributes or {}) == {"kept": 1, "error.type": "ValueError"}
    assert broken.status.status_code is trace.StatusCode.ERROR
    assert "ana@" not in spans.text()


async def test_vendors_and_sources_hear_nothing_of_our_traces(spans: Spans, receiver: WebhookReceiver) -> None:
    receiver.always(Reply(200, {"Content-Type": "application/json", "Content-Length": "0"}))
    source = SourceHttp(SyncSettings())
    with tracing.span("task", "consumer", parent=CALLER):
        async with senders.make_client(receiver.url("")) as client:
            await senders.post(client, "/Accounts/AC1/Messages.json", data={"To": "+34612345678"})
        with pytest.raises(Exception, match="not JSON"):
            await source.get_json(receiver.url("/people?key=secret-of-the-source"))
    await source.aclose()
    assert [heard.headers.get("traceparent") for heard in receiver.received] == [None, None]
    sent, fetched = spans.one("POST"), spans.one("GET")
    assert (sent.attributes or {})["server.address"] == (fetched.attributes or {})["server.address"] == "127.0.0.1"
    assert (sent.attributes or {})["http.response.status_code"] == 200
    for secret in ("AC1", "612345678", "secret-of-the-source"):
        assert secret not in spans.text()


_LOOK = """
import json, time
from contactship_common import tracing
from contactship_common.settings import TelemetrySettings
tracing.configure("api", TelemetrySettings(), environment="test")
slowest = 0.0
for number in range(3000):
    started = time.thread_time()
    with tracing.span("work", "server", {"number": number}):
        pass
    slowest = max(slowest, time.thread_time() - started)
started = time.monotonic()
tracing.stop(1.0)
print(json.dumps({"slowest": slowest, "stop": time.monotonic() - started}))
"""


@pytest.mark.parametrize("collector", ["refuses", "says nothing"])
def test_a_collector_that_is_away_delays_neither_work_nor_the_end(collector: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        if collector == "refuses":
            silent.close()
        told = subprocess.run(
            [sys.executable, "-c", _LOOK],
            env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": address},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    seen = json.loads(told.stdout)
    assert seen["slowest"] < 0.25  # seconds of its own; the exporter waits up to 10
    assert seen["stop"] < 5  # the SDK would wait up to 30
