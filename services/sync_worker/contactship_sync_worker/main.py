"""`contactship-sync-worker`: leads from outside."""

from contextlib import AsyncExitStack

import structlog

from contactship_common.runtime import Runtime
from contactship_common.settings import SyncSettings
from contactship_common.tasks.catalog import LeadImportRun, SyncApply, SyncFetch
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.worker import run_worker
from contactship_sync_worker.handlers.import_leads import ImportLeads
from contactship_sync_worker.handlers.sync_apply import ApplyPage
from contactship_sync_worker.handlers.sync_fetch import FetchPage
from contactship_sync_worker.sources.http import SourceHttp
from contactship_sync_worker.sources.registry import build_sources

log = structlog.get_logger()

THREADS = 16


def make_handlers(runtime: Runtime, stack: AsyncExitStack) -> dict[str, AnyHandler]:
    """The handlers of the `sync` queue, by kind.

    Raises:
        ValueError: a source's settings are wrong; says which.
    """
    settings = SyncSettings()
    http = SourceHttp(settings)
    stack.push_async_callback(http.aclose)
    sources = build_sources(settings, http)
    log.info("sync.sources", sources=list(sources))
    return {
        SyncFetch.KIND: FetchPage(sources, settings),
        SyncApply.KIND: ApplyPage(settings),
        LeadImportRun.KIND: ImportLeads(),
    }


def main() -> None:
    run_worker("sync", make_handlers, default_threads=THREADS)
