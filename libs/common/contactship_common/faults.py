"""Unexpected errors, sent to Sentry where SENTRY_DSN is set: bugs, not refusals and not vendors that are away.

An event says which error, where in our code, which release and whose request id. Messages of exceptions, values of
variables, requests and users are left out: they hold what people wrote. The log has the rest, under the same id.
"""

import sys
from typing import Any

from contactship_common.settings.telemetry import TelemetrySettings
from contactship_common.version import VERSION

_STOP_SECONDS = 2.0
_KEPT = frozenset(
    {"event_id", "timestamp", "platform", "level", "release", "environment", "sdk", "tags", "exception", "fingerprint"}
)
_KEPT_OF_EXCEPTION = frozenset({"type", "module", "mechanism", "stacktrace"})
_KEPT_OF_FRAME = frozenset(
    {"filename", "abs_path", "module", "function", "lineno", "in_app", "pre_context", "context_line", "post_context"}
)
_KEPT_OF_MECHANISM = frozenset({"type", "handled", "exception_id", "parent_id", "source", "is_exception_group"})


def configure(process: str, settings: TelemetrySettings, *, environment: str) -> None:
    """Report to the configured address, if there is one; once a process.

    Raises:
        ValueError: SENTRY_DSN is none.
    """
    if not settings.sentry_dsn:
        return
    # Imported when used: processes that do not report are spared 5 MiB and a third of a second.
    import sentry_sdk
    from sentry_sdk.utils import BadDsn

    try:
        sentry_sdk.init(
            dsn=settings.sentry_dsn,
            release=settings.sentry_release or f"contactship@{VERSION}",
            environment=environment,
            # Nothing is watched or patched; what is sent is what `report` was given.
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            send_client_reports=False,
            before_send=strip,
        )
    except BadDsn as error:
        raise ValueError(f"SENTRY_DSN cannot be used: {error}") from None
    sentry_sdk.set_tag("process", process)


def report(error: BaseException, where: str, **tags: str | None) -> None:
    """Send this error, from a thread of its own. `where` is the event name of the log line; `tags` are few and short:
    a route, a task's kind, the request id."""
    sentry: Any = sys.modules.get("sentry_sdk")  # imported by `configure` and nobody else
    if sentry is None:
        return
    with sentry.new_scope() as scope:
        scope.set_tag("event", where)
        for name, value in tags.items():
            if value is not None:
                scope.set_tag(name, value)
        scope.capture_exception(error)


def stop(seconds: float = _STOP_SECONDS) -> None:
    """Send what is left, for at most so long."""
    sentry: Any = sys.modules.get("sentry_sdk")
    if sentry is not None:
        sentry.flush(timeout=seconds)


def strip(event: Any, _hint: Any) -> Any:
    """The event with nothing in it but what is named above: whatever a later SDK adds stays here."""
    kept = {name: value for name, value in event.items() if name in _KEPT}
    for exception in (kept.get("exception") or {}).get("values") or []:
        _keep(exception, _KEPT_OF_EXCEPTION)
        _keep(exception.get("mechanism") or {}, _KEPT_OF_MECHANISM)
        for frame in (exception.get("stacktrace") or {}).get("frames") or []:
            _keep(frame, _KEPT_OF_FRAME)
    return kept


def _keep(part: dict[str, Any], names: frozenset[str]) -> None:
    for name in [name for name in part if name not in names]:
        del part[name]
