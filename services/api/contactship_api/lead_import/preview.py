"""The dry run: reads with what the worker reads with, and asks the table what `lead_intake` would find there."""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import islice

import orjson
import sqlalchemy as sa
from sqlmodel import col

from contactship_api.lead_import.schemas import DryRun, RowProblem, shown_mapping, unmapped_columns
from contactship_api.lead_import.stores import FileStore
from contactship_common.db import Database
from contactship_common.lead_csv.chunks import Chunk, Layout, Position, read_chunk
from contactship_common.lead_intake import NewLead
from contactship_common.models import Lead, LeadSource

MAX_ERRORS_SHOWN = 50


async def preview(database: Database, store: FileStore, layout: Layout, start: Position, size: int) -> DryRun:
    """What importing this file would do, were nothing else written meanwhile."""
    shown = DryRun(
        mapping=shown_mapping(layout.columns),
        unmapped_columns=unmapped_columns(layout.columns),
        encoding=layout.encoding,
        delimiter=layout.delimiter,
        rows=0,
        would_create=0,
        would_skip=0,
        failed=0,
        errors=[],
    )
    with closing(_Keys()) as keys:
        while start.byte < size:
            chunk = await asyncio.to_thread(_read, store, layout, start, size)
            tried = _first_of_each(chunk.leads)
            there = await _in_table(database, tried)
            created = await asyncio.to_thread(keys.count_new, tried, there)
            shown.rows += chunk.rows
            shown.would_create += created
            shown.would_skip += len(chunk.leads) - created
            shown.failed += len(chunk.errors)
            for error in islice(chunk.errors, MAX_ERRORS_SHOWN - len(shown.errors)):
                shown.errors.append(RowProblem(row=error.row_number, code=error.code, message=error.message))
            start = chunk.after
    return shown


def _read(store: FileStore, layout: Layout, start: Position, size: int) -> Chunk:
    window = store.window(start.byte)
    return read_chunk(window, layout, start, at_end=start.byte + len(window) >= size)


def _keys(lead: NewLead) -> tuple[str, ...]:
    """What may not exist twice. E-mails and external ids cannot be mixed up: only the former have no prefix."""
    return (lead.email,) if lead.external_id is None else (lead.email, f"id:{lead.external_id}")


def _first_of_each(leads: Sequence[NewLead]) -> list[NewLead]:
    """Of several leads in one chunk that share a key, the first; as `take_in` does."""
    seen: set[str] = set()
    kept = []
    for lead in leads:
        keys = _keys(lead)
        if seen.isdisjoint(keys):
            seen.update(keys)
            kept.append(lead)
    return kept


async def _in_table(database: Database, leads: Sequence[NewLead]) -> set[str]:
    """Those keys that leads in the table have."""
    external = [lead.external_id for lead in leads if lead.external_id is not None]
    async with database.reading() as session:
        emails = sa.select(col(Lead.email)).where(col(Lead.email) == sa.any_(sa.literal([x.email for x in leads])))
        found = {str(email) for email in (await session.execute(emails)).scalars()}
        if external:
            of_file = col(Lead.source) == LeadSource.CSV, col(Lead.external_id) == sa.any_(sa.literal(external))
            ids = (await session.execute(sa.select(col(Lead.external_id)).where(*of_file))).scalars()
            found |= {f"id:{external_id}" for external_id in ids}
    return found


class _Keys:
    """The keys of all rows that would be created so far, in a private database on disk: a set of them would grow with
    the file. SQLite deletes it with the connection."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE keys (key TEXT PRIMARY KEY) WITHOUT ROWID")

    def close(self) -> None:
        self._db.close()

    def count_new(self, leads: Sequence[NewLead], there: set[str]) -> int:
        """How many of these would be created, none of whose keys is in `there` or was counted before."""
        known = there | self._known(key for lead in leads for key in _keys(lead))
        new = [lead for lead in leads if known.isdisjoint(_keys(lead))]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO keys VALUES (?)", ((key,) for lead in new for key in _keys(lead)))
        self._db.execute("COMMIT")
        return len(new)

    def _known(self, keys: Iterable[str]) -> set[str]:
        listed = orjson.dumps(list(keys)).decode()
        rows = self._db.execute("SELECT key FROM keys WHERE key IN (SELECT value FROM json_each(?))", (listed,))
        return {row[0] for row in rows}
