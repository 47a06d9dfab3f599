"""What the planner does with the statements that a piece of code sends."""

from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from api_testkit.api import Api

Call = Callable[[AsyncSession], Awaitable[Any]]


async def plans_of(api: Api, call: Call, *, table: str = "") -> list[str]:
    """The plans of every SELECT that `call(session)` sends (about this table), with sequential scans forbidden where
    another way is."""
    sent = await _selects(api, call)
    plans = []
    async with api.gateway.runtime.db.fast.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        for statement, parameters in sent:
            rows = await (await connection.execute("EXPLAIN " + statement, parameters)).fetchall()  # type: ignore[call-overload]
            plans.append("\n".join(row["QUERY PLAN"] for row in rows))
    return [plan for plan in plans if not table or f" on {table}" in plan]


async def executed_plans(api: Api, call: Call) -> list[dict[str, Any]]:
    """The plans of every SELECT that `call(session)` sends, as they are executed, with numbers of rows and loops."""
    found = []
    sent = await _selects(api, call)
    async with api.gateway.runtime.db.fast.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = on")
        for statement, parameters in sent:
            told = await connection.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, parameters)  # type: ignore[call-overload]
            found.append((await told.fetchone())["QUERY PLAN"][0]["Plan"])  # type: ignore[index]
    return found


async def _selects(api: Api, call: Call) -> list[tuple[str, Any]]:
    engine = api.gateway.runtime.db.engine.sync_engine
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            sent.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        async with api.gateway.runtime.db.reading() as session:
            await call(session)
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    assert sent
    return sent
