"""Reads of imports, each starting from what the caller may see."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.lead_import.schemas import ImportOut, ImportState, shown_mapping, unmapped_columns
from contactship_common.db import Database
from contactship_common.errors import Forbidden
from contactship_common.lead_csv.chunks import Layout
from contactship_common.lead_csv.rows import RowError
from contactship_common.models import LeadImport, LeadImportError, Task, TaskStatus

_ERRORS_A_PAGE = 5_000


def visible(who: Principal) -> sa.Select[Any]:
    """Imports with their tasks' state. One without a task is a draft, and nobody's business yet."""
    if not who.may(Scope.LEADS_ADMIN):
        raise Forbidden
    return (
        sa.select(LeadImport, col(Task.status), col(Task.error))
        .outerjoin(Task, col(Task.id) == col(LeadImport.task_id))
        .where(col(LeadImport.task_id).is_not(None))
    )


async def find(session: AsyncSession, who: Principal, import_id: UUID) -> ImportOut | None:
    row = (await session.execute(visible(who).where(col(LeadImport.id) == import_id))).first()
    if row is None:
        return None
    found, status, error = row
    columns = Layout.load(found.encoding, found.delimiter, found.mapping).columns
    return ImportOut(
        id=found.id,
        task_id=found.task_id,
        status=_state(found, status),
        file_name=found.file_name,
        mapping=shown_mapping(columns),
        unmapped_columns=unmapped_columns(columns),
        encoding=found.encoding,
        delimiter=found.delimiter,
        records_processed=found.records_processed,
        records_created=found.records_created,
        records_skipped=found.records_skipped,
        records_failed=found.records_failed,
        bytes_processed=found.next_byte,
        bytes_total=found.bytes_total,
        error=error,
        requested_by=found.requested_by,
        created_at=found.created_at,
        finished_at=found.finished_at,
        errors_url=f"/api/v1/leads/imports/{found.id}/errors",
    )


def _state(found: LeadImport, task_status: str | None) -> ImportState:
    """From its task. Between two chunks the task waits for its next run; for the import that is no pause."""
    if task_status in (TaskStatus.QUEUED, TaskStatus.RUNNING):
        return "processing"
    if task_status == TaskStatus.CANCELLED:
        return "cancelled"
    # Tasks are deleted after a month; how far it came still says how it ended.
    return "completed" if found.next_byte >= found.bytes_total else "failed"


async def walk_errors(database: Database, import_id: UUID) -> AsyncIterator[list[RowError]]:
    """All of an import's row errors by row, in pages; no session is held between them."""
    after = 0
    while True:
        statement = (
            sa.select(col(LeadImportError.row_number), col(LeadImportError.code), col(LeadImportError.message))
            .where(col(LeadImportError.import_id) == import_id, col(LeadImportError.row_number) > after)
            .order_by(col(LeadImportError.row_number))
            .limit(_ERRORS_A_PAGE)
        )
        async with database.reading() as session:
            rows = [RowError(*row) for row in await session.execute(statement)]
        yield rows
        if len(rows) < _ERRORS_A_PAGE:
            return
        after = rows[-1].row_number
