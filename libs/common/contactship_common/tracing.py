"""Traces: one from the request through the queue to the model call and the receiver of a webhook.

Spans carry names, counts and outcomes; never bodies, prompts, query strings, ids of people, or an exception's text.
Off unless `configure` was called with a collector; then `span` costs a function call. What records is OpenTelemetry's
own tracer provider.
"""

import functools
import logging
import threading
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from contactship_common.settings.telemetry import TelemetrySettings
from contactship_common.version import VERSION

Kind = Literal["internal", "server", "client", "consumer"]
Attributes = Mapping[str, str | int | float | bool | None]

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "consumer": SpanKind.CONSUMER,
}
_FROM_OUTSIDE = ("server", "consumer")
_STOP_SECONDS = 2.0


class Span:
    """What a piece of work says about itself while it goes on. This one, of a process without traces, forgets it."""

    @property
    def log_fields(self) -> dict[str, str]:
        """What log lines should carry so that they are found from the trace."""
        return {}

    def note(self, attributes: Attributes) -> None:
        """Add attributes; None leaves one out."""

    def rename(self, name: str) -> None: ...

    def fail(self, code: str) -> None:
        """It went wrong. `code` is a stable word or the class of the error; the first one counts."""


@dataclass(slots=True)
class _Switch:
    on: bool = False


_switch = _Switch()
"""Asked by every request and task: OpenTelemetry would look through the environment each time."""


class _Off(Span, AbstractContextManager[Span]):
    def __enter__(self) -> Span:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        return None


OFF = _Off()


class _Recorded(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._failed = False

    @property
    def log_fields(self) -> dict[str, str]:
        return {"trace_id": f"{self._span.get_span_context().trace_id:032x}"}

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(_present(attributes))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, code: str) -> None:
        if not self._failed:
            self._failed = True
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR)


def span(
    name: str, kind: Kind = "internal", attributes: Attributes | None = None, *, parent: str | None = None
) -> AbstractContextManager[Span]:
    """Record what happens inside; an exception marks the span as failed and goes on its way.

    `server` and `consumer` spans continue `parent` (a W3C `traceparent`; None: a new trace), the others the span that
    is open around them.
    """
    if not _switch.on:
        return OFF
    return _record(trace.get_tracer_provider(), name, kind, attributes or {}, parent)


def current_traceparent() -> str | None:
    """The open span as W3C `traceparent`, for whoever goes on with the trace; None: there is none."""
    now = trace.get_current_span().get_span_context()
    return f"00-{now.trace_id:032x}-{now.span_id:016x}-{now.trace_flags:02x}" if now.is_valid else None


def configure(process: str, settings: TelemetrySettings, *, environment: str) -> None:
    """Send spans to the configured collector, if there is one; once a process.

    They leave from a thread of their own through a bounded queue: a collector that is slow or away costs spans and a
    log line, nothing else.
    """
    if not settings.otel_exporter_otlp_endpoint:
        return
    # Imported when used: a quarter of a second that processes without traces are spared.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(
        {
            "service.name": settings.otel_service_name or f"contactship-{process.replace('_', '-')}",
            "service.version": VERSION,
            "deployment.environment.name": environment,
        }
    )
    # The sampler, the exporter and the queue are set up by the SDK from the OTEL_ variables.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _switch.on = True
    # Each failed try is a warning; that a batch was lost is an error, and enough.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)


def stop(seconds: float = _STOP_SECONDS) -> None:
    """Send what is left, for at most so long."""
    shutdown: Any = getattr(trace.get_tracer_provider(), "shutdown", None)
    if shutdown is not None:
        # The SDK would wait up to 30 s for a collector that does not answer.
        last = threading.Thread(target=shutdown, name="traces-stop", daemon=True)
        last.start()
        last.join(seconds)


@contextmanager
def _record(
    provider: trace.TracerProvider, name: str, kind: Kind, attributes: Attributes, parent: str | None
) -> Generator[Span]:
    context = None
    if kind in _FROM_OUTSIDE:
        carrier = {"traceparent": parent} if parent else {}
        context = TraceContextTextMapPropagator().extract(carrier, context=Context())
    with _tracer(provider).start_as_current_span(
        name,
        context=context,
        kind=_KINDS[kind],
        attributes=_present(attributes),
        # Both would copy the exception's text, which may hold what people wrote.
        record_exception=False,
        set_status_on_exception=False,
    ) as raw:
        recorded = _Recorded(raw)
        try:
            yield recorded
        except BaseException as error:
            recorded.fail(type(error).__name__)
            raise


@functools.lru_cache(maxsize=1)
def _tracer(provider: trace.TracerProvider) -> trace.Tracer:
    return provider.get_tracer("contactship", VERSION)


def _present(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in attributes.items() if value is not None}
