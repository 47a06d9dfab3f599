"""structlog, set up once a process: JSON outside development, readable lines in it.

Event names are `noun.verb`; fields never carry bodies, tokens, codes, e-mails or phone numbers. The correlation id of
a request travels in a context variable through tasks to workers, so one id finds everything.
"""

import logging
import sys
from typing import Any

import psycopg
import structlog

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
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if readable
        else structlog.processors.JSONRenderer()
    )
    tail: list[Any] = (
        [without_rows, renderer] if readable else [without_rows, structlog.processors.format_exc_info, renderer]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
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
