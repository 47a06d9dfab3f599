"""Joining the rows that changes of meetings append to the sums of the KPIs."""

import asyncio

import structlog

from contactship_common.periodic import periodically
from contactship_common.runtime import Runtime

log = structlog.get_logger()

FOLD_EVERY_SECONDS = 30.0


class KpiFolding:
    """Keeps reads fast, and changes no figure. Any number may run side by side: each deletes only rows it has seen."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def fold(self) -> int:
        """Returns how many rows there are fewer."""
        async with self.runtime.db.fast.connection() as connection:
            row = await (await connection.execute("SELECT kpi_fold() AS folded")).fetchone()
        folded = int(row["folded"]) if row else 0
        if folded:
            log.debug("kpis.folded", rows=folded)
        return folded

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until `stop` is set."""
        await periodically("kpis", self.fold, every_seconds=FOLD_EVERY_SECONDS, stop=stop)
