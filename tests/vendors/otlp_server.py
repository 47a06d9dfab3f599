"""A collector of traces: OTLP over HTTP on this machine, which remembers the spans that it was sent."""

import gzip
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from vendors.webhook_receiver import Reply, WebhookReceiver


@dataclass(frozen=True)
class SeenSpan:
    """Ids are lower-case hex; `parent_id` is empty for the first span of a trace."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]


class OtlpServer(WebhookReceiver):
    def __init__(self) -> None:
        super().__init__()
        self.always(Reply(200, {"Content-Type": "application/x-protobuf", "Content-Length": "0"}))

    @property
    def spans(self) -> list[SeenSpan]:
        """Everything so far, in the order in which it came."""
        found = []
        for request in self.received:
            assert (request.method, request.path) == ("POST", "/v1/traces")
            packed = request.headers.get("content-encoding") == "gzip"
            told = ExportTraceServiceRequest.FromString(gzip.decompress(request.body) if packed else request.body)
            for resource in told.resource_spans:
                about = _plain(resource.resource.attributes)
                for scope in resource.scope_spans:
                    found += [_span(str(about["service.name"]), span) for span in scope.spans]
        return found


def _span(service: str, span: Any) -> SeenSpan:
    return SeenSpan(
        service, span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), _plain(span.attributes)
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}
