"""structlog, set up once a process: JSON outside development, readable lines in it.

Event names are `noun.verb`; fields never carry bodies, tokens, codes, e-mails or phone numbers, and what libraries and
exceptions say is masked. The correlation id of a request travels in a context variable through tasks to workers, so
one id finds everything.
"""

import logging
import re
import sys
from io import StringIO
from typing import Any, TextIO

import psycopg
import structlog

from contactship_common.masking import mask_data, mask_pii
from contactship_common.settings.core import CoreSettings, Environment, ignored_names_set


def without_rows(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Replace what PostgreSQL says about a row (`DETAIL: Key (email)=(…)`) in an exception's messages by the names of
    what was refused: drivers put values into their texts, and values do not belong into logs."""
    given = event.get("exc_info")
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    seen: set[int] = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        original = getattr(error, "orig", error)
        if isinstance(original, psycopg.Error):
            refused = original.diag
            error.args = (
                f"{type(original).__name__} sqlstate={original.sqlstate} table={refused.table_name} "
                f"column={refused.column_name} constraint={refused.constraint_name}",
            )
        error = error.__cause__ or error.__context__
    return event


_NEVER_PERSONAL = frozenset({"timestamp", "level", "process", "request_id", "traceparent", "method", "route"})
_ROW_ID = re.compile(r"(?:[a-z_]{1,20}:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def without_personal_data(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Mask the texts of an event: ours carry no personal data on purpose, libraries and exceptions say anything."""
    for name, value in event.items():
        if isinstance(value, str):
            if name not in _NEVER_PERSONAL and not _ROW_ID.fullmatch(value):
                event[name] = mask_pii(value)
        elif isinstance(value, dict | list):
            event[name] = mask_data(value, name)
    return event


def _masked_traceback(out: TextIO, error: Any) -> None:
    told = StringIO()
    structlog.dev.plain_traceback(told, error)
    out.write(mask_pii(told.getvalue()))


class _Stderr:
    """Writes lines. A full disk or a reader that has gone costs lines and nothing else, as with the standard library:
    whoever logs has something to do."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            # One write a line: lines of several threads do not mix.
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: closed
            return

    log = debug = info = warn = warning = fatal = error = err = critical = exception = failure = msg


def _line(processors: list[Any]) -> Any:
    """The text of an event; one that cannot be told is told as that. Logging never fails whoever logs."""

    def render(logger: Any, method: str, event: dict[str, Any]) -> str:
        told: Any = event
        try:
            for process in processors:
                told = process(logger, method, told)
        except Exception as error:
            told = {"event": "log.unreadable", "of": str(event.get("event")), "error": type(error).__name__}
            told = processors[-1](logger, method, told)
        return str(told)

    return render


def configure_logging(settings: CoreSettings, process: str) -> None:
    """Send structlog and the standard library's logging to stderr in one format."""

    def name_process(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
        event["process"] = process
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        name_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    readable = settings.environment is Environment.DEVELOPMENT
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_masked_traceback)
        if readable
        else structlog.processors.JSONRenderer()
    )
    tail: list[Any] = (
        [without_rows, without_personal_data, renderer]
        if readable
        else [without_rows, structlog.processors.format_exc_info, without_personal_data, renderer]
    )
    written = _Stderr(sys.stderr)
    structlog.configure(
        # Our own lines do not pass through the standard library: that would cost most of what a line costs.
        processors=[*shared, _line(tail)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=lambda *_: written,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    # These libraries log a line for every call, some with the address called; ours say what matters.
    for noisy in ("httpx", "httpcore", "httpx2", "openai", "google_genai", "dramatiq", "uvicorn", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for name in ignored_names_set():
        structlog.get_logger().warning("setting.ignored", name=name, reason="it has no meaning in Contactship")
