"""Adapters without a worker around them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from contactship_common.settings import SyncSettings
from contactship_sync_worker.sources.base import Source
from contactship_sync_worker.sources.http import Sleep, SourceHttp
from contactship_sync_worker.sources.registry import build_sources

NO_WAITS: dict[str, Any] = {"sync_retry_wait": 0.0, "sync_timeout": 5.0}


@asynccontextmanager
async def open_source(
    *, name: str = "randomuser", sleep: Sleep | None = None, **settings: Any
) -> AsyncIterator[Source]:
    """The adapter of this name, built from settings as the worker does it."""
    chosen = SyncSettings(**(NO_WAITS | settings))
    http = SourceHttp(chosen, sleep=sleep) if sleep else SourceHttp(chosen)
    yield build_sources(chosen, http)[name]
    await http.aclose()
