"""`contactship-scheduler`: the dispatcher, the cron's ticks, and what has to happen regularly.

Any number may run side by side.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import structlog
import uvloop

from contactship_common import telemetry
from contactship_common.db import DATABASE_AWAY
from contactship_common.health_server import HealthServer
from contactship_common.periodic import periodically
from contactship_common.runtime import Runtime
from contactship_common.settings import CoreSettings, SyncSettings, WorkerSettings, explain
from contactship_common.tasks.backlog import Backlog
from contactship_common.tasks.dispatcher import Dispatcher
from contactship_sync_worker.cron import CronTicks
from contactship_sync_worker.kpis import KpiFolding
from contactship_sync_worker.otp_expiry import OtpExpiry
from contactship_sync_worker.retention import Retention

log = structlog.get_logger()

_UNREADY: tuple[type[Exception], ...] = (*DATABASE_AWAY, TimeoutError)


@contextlib.asynccontextmanager
async def _opened(core: CoreSettings) -> AsyncIterator[Runtime]:
    runtime = Runtime(core)
    await runtime.open()
    try:
        yield runtime
    finally:
        await runtime.close()


async def _serve(core: CoreSettings, settings: WorkerSettings, sync: SyncSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _opened(core) as runtime:

        async def readiness() -> dict[str, Any]:
            try:
                async with asyncio.timeout(2), runtime.db.fast.connection() as connection:
                    await connection.execute("SELECT 1")
            except _UNREADY:
                return {"status": "error", "message": "the database cannot be reached"}
            return {"status": "ok"}

        health = HealthServer(settings.worker_health_host, settings.worker_health_port, readiness)
        await health.start()
        log.info("scheduler.started")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(Dispatcher(runtime).run(stop))
                group.create_task(periodically("backlog", Backlog(runtime).measure, every_seconds=5.0, stop=stop))
                group.create_task(Retention(runtime).run(stop))
                group.create_task(OtpExpiry(runtime).run(stop))
                group.create_task(KpiFolding(runtime).run(stop))
                group.create_task(CronTicks(runtime, sync).run(stop))
        finally:
            await health.stop()
    log.info("scheduler.stopped")


def main() -> None:
    """A wrong setting is one clear line and exit status 1."""
    try:
        core, settings, sync = CoreSettings(), WorkerSettings(), SyncSettings()
        telemetry.start(core, "scheduler")
        uvloop.run(_serve(core, settings, sync))
        telemetry.stop()
    except (ValueError, RuntimeError) as error:
        sys.exit(f"contactship-scheduler: {explain(error)}")
