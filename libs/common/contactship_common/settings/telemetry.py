"""Where traces and unexpected errors are sent. The OTEL_ names are OpenTelemetry's own, read by its SDK as well."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import field_validator

from contactship_common.settings.fields import SettingsGroup, setting

Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


class TelemetrySettings(SettingsGroup):
    """Both are off until they have an address."""

    otel_exporter_otlp_endpoint: str = setting(
        "",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        about="Collector for traces, OTLP over HTTP, such as `http://collector:4318`. Empty: no traces. The SDK's "
        "other variables (`OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_BSP_…`, `OTEL_RESOURCE_ATTRIBUTES`, …) work too.",
    )
    otel_exporter_otlp_headers: str = setting(
        "",
        "OTEL_EXPORTER_OTLP_HEADERS",
        about="Headers for the collector: `name=value`, comma separated.",
        secret=True,
    )
    otel_service_name: str = setting(
        "",
        "OTEL_SERVICE_NAME",
        about="Name of the service in traces. Empty: one per process, such as `contactship-api`.",
    )
    otel_traces_sampler: Sampler = setting(
        "parentbased_always_on",
        "OTEL_TRACES_SAMPLER",
        about="Which traces are kept; `parentbased_traceidratio` keeps a share, and what callers ask for.",
        danger="With a `parentbased_` one, callers who send `traceparent` decide about their own requests.",
    )
    otel_traces_sampler_arg: float = setting(
        1.0, "OTEL_TRACES_SAMPLER_ARG", ge=0, le=1, about="The share that a `traceidratio` sampler keeps, 0 to 1."
    )
    sentry_dsn: str = setting(
        "",
        "SENTRY_DSN",
        about="Where unexpected errors are sent: type and stack, no message, no request, no values. Empty: nowhere.",
        secret=True,
    )
    sentry_release: str = setting("", "SENTRY_RELEASE", about="Release named in errors. Empty: Contactship's version.")

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_endpoint(cls, url: str) -> str:
        if url:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("OTEL_EXPORTER_OTLP_ENDPOINT must be an http:// or https:// URL")
        return url
