"""Turns an uploaded CSV into leads, a chunk of rows a run.

`record` applies one chunk, notes where the next begins, and asks for one more run of the same task, all in the
transaction that finishes this run. So a worker may die at any point: the chunk is applied with its counters, or not.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.lead_csv.chunks import Chunk, Layout, Position, read_chunk
from contactship_common.lead_csv.pieces import read_window
from contactship_common.lead_intake import take_in
from contactship_common.models import LeadImport, LeadImportPiece
from contactship_common.tasks.catalog import LeadImportRun
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Permanent, Skip, TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork

_NOTE_ERRORS = sa.text("""
INSERT INTO lead_import_errors (import_id, row_number, code, message)
SELECT :import_id, r.row_number, r.code, r.message
  FROM jsonb_to_recordset(CAST(:errors AS jsonb)) AS r(row_number int, code text, message text)
""")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the upload that begins at a row."""

    content: bytes
    layout: Layout
    start: Position
    bytes_total: int

    @property
    def at_end(self) -> bool:
        return self.start.byte + len(self.content) >= self.bytes_total


class ImportLeads(Handler[LeadImportRun, Window, Chunk]):
    async def load(self, session: AsyncSession, payload: LeadImportRun, task: ClaimedTask) -> Window | Done | Skip:
        found = await session.get(LeadImport, payload.import_id)
        if found is None:
            return Skip("the import has been deleted")
        content = await read_window(session, found.id, found.next_byte)
        if not content and found.next_byte < found.bytes_total:
            raise Permanent("upload_gone", "the uploaded file has been deleted; upload it again")
        layout = Layout.load(found.encoding, found.delimiter, found.mapping)
        return Window(content, layout, Position(found.next_byte, found.next_row), found.bytes_total)

    async def work(self, payload: LeadImportRun, loaded: Window) -> Chunk:
        # In a thread: leases are renewed on the event loop.
        return await asyncio.to_thread(read_chunk, loaded.content, loaded.layout, loaded.start, at_end=loaded.at_end)

    async def record(
        self, uow: UnitOfWork, payload: LeadImportRun, task: ClaimedTask, loaded: Window, result: Chunk
    ) -> dict[str, Any]:
        intake = await take_in(uow, result.leads, event="created", actor=uow.context.actor)
        if result.errors:
            errors = orjson.dumps([asdict(error) for error in result.errors]).decode()
            await uow.session.execute(_NOTE_ERRORS, {"import_id": payload.import_id, "errors": errors})
        at_end = result.after.byte >= loaded.bytes_total
        counted = sa.update(LeadImport).where(col(LeadImport.id) == payload.import_id)
        counted = counted.values(
            next_row=result.after.row,
            next_byte=result.after.byte,
            records_processed=col(LeadImport.records_processed) + result.rows,
            records_created=col(LeadImport.records_created) + len(intake.created),
            records_skipped=col(LeadImport.records_skipped) + len(intake.skipped),
            records_failed=col(LeadImport.records_failed) + len(result.errors),
            finished_at=sa.func.now() if at_end else None,
        ).returning(
            col(LeadImport.records_processed),
            col(LeadImport.records_created),
            col(LeadImport.records_skipped),
            col(LeadImport.records_failed),
        )
        processed, created, skipped, failed = (await uow.session.execute(counted)).one()
        counters: dict[str, Any] = {"processed": processed, "created": created, "skipped": skipped, "failed": failed}
        if at_end:
            await _delete_pieces(uow, payload)
            uow.audit("lead.import_finished", "lead_import", payload.import_id, **counters)
        else:
            # This task holds the slot, so this asks for one more run of it, not for another task.
            uow.enqueue(payload, rerun=True)
        return {"importId": str(payload.import_id), **counters}

    async def failed(self, uow: UnitOfWork, payload: LeadImportRun, task: ClaimedTask, error: TaskError) -> None:
        """What has been imported stays; the counters say how much that is."""
        statement = sa.update(LeadImport).where(col(LeadImport.id) == payload.import_id)
        await uow.session.execute(statement.values(finished_at=sa.func.now()))
        await _delete_pieces(uow, payload)
        uow.audit("lead.import_failed", "lead_import", payload.import_id, code=error.code)


async def _delete_pieces(uow: UnitOfWork, payload: LeadImportRun) -> None:
    await uow.session.execute(sa.delete(LeadImportPiece).where(col(LeadImportPiece.import_id) == payload.import_id))
