"""The outermost middleware: request id, log line, metrics, security headers and the limit on bodies."""

import re
import time
from contextlib import AbstractContextManager
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contactship_api.http.aliases import API
from contactship_api.http.client_address import Network, client_address
from contactship_api.http.problems import PayloadTooLarge, problem
from contactship_common import faults, metrics, tracing
from contactship_common.errors import ContactshipError
from contactship_common.models.base import new_id

log = structlog.get_logger()

_SANE_ID = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_DOCS_CSP = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
_API_CSP = "default-src 'none'; frame-ancestors 'none'"
_QUIET = frozenset({"/health/liveness", "/health/readiness", "/health", "/ping", "/metrics"})


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def _route_of(scope: Scope) -> str:
    """The route's template, such as `/api/v1/leads/{lead_id}`: few values, and no ids in metrics and logs."""
    template: str | None = getattr(scope.get("route"), "path", None)
    if template is None:
        return "unmatched"
    # An included router's routes know their own part of the path only.
    return f"{API}{template}" if scope["path"].startswith(API) and not template.startswith(API) else template


def _span(scope: Scope, came_from: str | None) -> AbstractContextManager[tracing.Span]:
    """No path and no query in it, which may hold what people wrote; its route is known when it ends."""
    if scope["path"] in _QUIET:
        return tracing.OFF
    known = {"http.request.method": scope["method"], "contactship.request_id": scope["contactship.request_id"]}
    return tracing.span(scope["method"], "server", known, parent=came_from)


class RequestContext:
    """Pure ASGI, because Starlette's BaseHTTPMiddleware costs a task and two queues a request."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, hsts: bool, trusted: list[Network]) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.hsts = hsts
        self.trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        given = _header(scope, b"x-request-id")
        request_id = given if _SANE_ID.fullmatch(given) else new_id().hex
        traceparent = _header(scope, b"traceparent")
        came_from = traceparent if _TRACEPARENT.fullmatch(traceparent) else None
        scope["contactship.request_id"] = request_id
        scope["contactship.traceparent"] = came_from
        scope["contactship.ip"] = client_address(scope, self.trusted)
        scope.setdefault("state", {})
        structlog.contextvars.clear_contextvars()
        with _span(scope, came_from) as span:
            if span is not tracing.OFF:
                scope["contactship.traceparent"] = tracing.current_traceparent()
            structlog.contextvars.bind_contextvars(request_id=request_id, **span.log_fields)
            await self._serve(scope, receive, send, request_id, span, started)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, span: tracing.Span, started: float
    ) -> None:
        status = 500
        answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                self._add_headers(scope, MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            await self.app(scope, self._limited(scope, receive), send_with_headers)
        except Exception as error:
            # Here and not in Starlette's outer middleware, so that a 500 carries its request id like any answer.
            log.error("request.broke", exc_info=error)
            span.fail(type(error).__name__)
            faults.report(error, "request.broke", request_id=request_id, route=_route_of(scope))
            if answered:
                raise
            await problem(Request(scope), ContactshipError())(scope, receive, send_with_headers)
        finally:
            self._finish(scope, status, started, span)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Counts the body as it arrives; a declared length over the limit is refused before a byte is read."""
        declared = _header(scope, b"content-length")
        too_long = declared.isdecimal() and int(declared[:20]) > self.max_body_bytes
        received = 0

        async def limited() -> Message:
            nonlocal received
            limit = scope["state"].get("max_body_bytes", self.max_body_bytes)
            if too_long and int(declared[:20]) > limit:
                raise PayloadTooLarge(f"The limit is {limit:,} bytes")
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise PayloadTooLarge(f"The limit is {limit:,} bytes")
            return message

        return limited

    def _add_headers(self, scope: Scope, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["X-Frame-Options"] = "DENY"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Content-Security-Policy"] = _DOCS_CSP if scope["path"].startswith("/api/docs") else _API_CSP
        if self.hsts:
            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        headers.setdefault("Cache-Control", "no-store")
        limit: Any = scope["state"].get("rate")
        if limit is not None:
            headers["RateLimit-Limit"] = str(limit.limit)
            headers["RateLimit-Remaining"] = str(limit.remaining)
            headers["RateLimit-Reset"] = str(limit.reset_seconds)

    def _finish(self, scope: Scope, status: int, started: float, span: tracing.Span) -> None:
        seconds = time.perf_counter() - started
        route = _route_of(scope)
        metrics.HTTP_REQUESTS.labels(scope["method"], route, status).inc()
        metrics.HTTP_SECONDS.labels(scope["method"], route).observe(seconds)
        if route in _QUIET:
            return
        if span is not tracing.OFF:
            span.rename(f"{scope['method']} {route}")
            span.note({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                span.fail(str(status))
        principal = scope["state"].get("principal")
        log.info(
            "request.finished",
            method=scope["method"],
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            caller=principal.actor if principal else None,
        )
