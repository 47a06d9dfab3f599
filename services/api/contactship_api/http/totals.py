"""How long a page list may take: searches are limited in time, totals are counted only so far."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from psycopg import errors as pg
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.errors import SearchTooBroad

EXACT_UP_TO = 100_000


@asynccontextmanager
async def bounded(session: AsyncSession, *, searching: bool, timeout_ms: int) -> AsyncIterator[None]:
    """Limits a search's time: the embedded server scans, and a scan must not hold a connection for long.

    Raises:
        SearchTooBroad: it took longer.
    """
    if not searching:
        yield
        return
    await session.execute(sa.text(f"SET LOCAL statement_timeout = {int(timeout_ms)}"))
    try:
        yield
    except sa.exc.DBAPIError as error:
        if isinstance(error.orig, pg.QueryCanceled):
            raise SearchTooBroad from None
        raise


async def total_of(session: AsyncSession, some: sa.Select[Any]) -> tuple[int, bool]:
    """How many rows `some` (a select of a constant) has, and whether that is an estimate: exact up to 100,000, beyond
    that the planner's, because counting a million rows costs more than the page."""
    counted = sa.select(sa.func.count()).select_from(some.limit(EXACT_UP_TO + 1).subquery())
    total = int((await session.execute(counted)).scalar_one())
    if total <= EXACT_UP_TO:
        return total, False
    compiled = some.compile(dialect=session.get_bind().dialect, compile_kwargs={"literal_binds": True})
    plan = (await session.execute(sa.text("EXPLAIN (FORMAT JSON) " + str(compiled).replace(":", "\\:")))).scalar_one()
    return max(total, int(plan[0]["Plan"]["Plan Rows"])), True
