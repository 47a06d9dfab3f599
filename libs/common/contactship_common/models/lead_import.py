"""CSV imports: the upload in small pieces, and what was wrong with which row."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from contactship_common.models.base import id_column, utc_column


class LeadImport(SQLModel, table=True):
    """One upload. Progress and outcome are read from its task and these counters; the pieces go when it ends. Without
    a task it is still being uploaded, or was given up.

    processed = created + skipped + failed, always.
    """

    __tablename__ = "lead_imports"
    __table_args__ = (
        sa.CheckConstraint(
            "records_processed = records_created + records_skipped + records_failed", name="counters_add_up"
        ),
    )

    id: UUID = id_column()
    task_id: UUID | None = None
    file_name: str | None = Field(default=None, max_length=255)
    bytes_total: int = 0
    encoding: str = Field(max_length=40)
    delimiter: str = Field(max_length=1)
    # `{"columns": [[name, target], …]}`: a JSON object would lose their order.
    mapping: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
    # Where the next run goes on: rows before this one have been applied. `next_byte` is where it begins in the upload.
    next_row: int = 0
    next_byte: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    records_processed: int = 0
    records_created: int = 0
    records_skipped: int = 0
    records_failed: int = 0
    requested_by: str | None = None
    created_at: datetime = utc_column(default_now=True)
    finished_at: datetime | None = utc_column()


class LeadImportPiece(SQLModel, table=True):
    """Up to 1 MiB of the upload, stored as it arrived: the worker may be another machine."""

    __tablename__ = "lead_import_pieces"

    import_id: UUID = Field(foreign_key="lead_imports.id", ondelete="CASCADE", primary_key=True)
    number: int = Field(primary_key=True)
    content: bytes = Field(sa_type=sa.LargeBinary)


class LeadImportError(SQLModel, table=True):
    """A row that was not imported; `row_number` counts as a spreadsheet does, the header being row 1."""

    __tablename__ = "lead_import_errors"

    import_id: UUID = Field(foreign_key="lead_imports.id", ondelete="CASCADE", primary_key=True)
    row_number: int = Field(primary_key=True)
    code: str = Field(max_length=64)
    message: str = Field(max_length=500)
