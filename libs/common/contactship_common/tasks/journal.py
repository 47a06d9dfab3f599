"""Rows that tell what a run did, written however the run ends.

`work` has no database in reach, yet what it did (a paid model call, say) must be kept also when the run fails, is
handed back, or finds that a newer run has overtaken it. It leaves rows here; the runner writes them in the transaction
that settles the run.
"""

from contextvars import ContextVar
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

_rows: ContextVar[list[SQLModel] | None] = ContextVar("run_journal", default=None)


def open_journal() -> list[SQLModel]:
    """Start the journal of one run; called by the runner, in the run's own asyncio task."""
    rows: list[SQLModel] = []
    _rows.set(rows)
    return rows


def keep(row: SQLModel) -> None:
    """Have `row` inserted when the current run is settled.

    Raises:
        LookupError: outside a run, where nobody would write the row.
    """
    rows = _rows.get()
    if rows is None:
        raise LookupError("no task is running here, so nobody would write this row")
    rows.append(row)


async def write(session: AsyncSession, rows: list[SQLModel]) -> None:
    """Insert these rows; one that is there already (a commit whose answer was lost) is left alone."""
    for row in rows:
        await session.execute(_insertion(type(row)), row.model_dump(exclude_none=True))


@cache
def _insertion(model: type[SQLModel]) -> Insert:
    table: sa.Table = model.__table__  # type: ignore[attr-defined]
    return insert(table).on_conflict_do_nothing()
