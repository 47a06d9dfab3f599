"""Shapes of /leads/import and /leads/imports."""

from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from pydantic.alias_generators import to_camel

from contactship_api.http.schemas import Out, UtcTime
from contactship_common.lead_csv.headers import FIELDS, Column

ImportState = Literal["processing", "completed", "failed", "cancelled"]
FIELD_NAMES = sorted(to_camel(field) for field in FIELDS)


def shown_mapping(columns: list[Column]) -> dict[str, str | None]:
    """Columns in the file's order with the field each is mapped to."""
    return {column.name: _shown_target(column.target) for column in columns}


def _shown_target(target: str | None) -> str | None:
    if target is None:
        return None
    head, dot, key = target.partition(".")
    return f"{to_camel(head)}{dot}{key}"


def unmapped_columns(columns: list[Column]) -> list[str]:
    """Columns that are no field of a lead: kept in metadata under their names, or ignored."""
    return [column.name for column in columns if column.target in (None, "metadata")]


class ImportAccepted(Out):
    import_id: UUID
    task_id: UUID
    status: Literal["processing"] = "processing"
    message: str


class RowProblem(Out):
    """`row` counts as a spreadsheet does; the header is row 1."""

    row: int
    code: str = Field(examples=["email_invalid"])
    message: str


class _Reading(Out):
    mapping: dict[str, str | None] = Field(
        description="Each column and its field; `metadata`: kept under the column's name; null: ignored.",
        examples=[{"Nombre": "firstName", "Correo electrónico": "email", "Empresa": "metadata"}],
    )
    unmapped_columns: list[str] = Field(description="Columns that are no field of a lead.")
    encoding: str = Field(examples=["utf-8"])
    delimiter: str = Field(examples=[";"])


class DryRun(_Reading):
    """What the import would do now. `rows` = `wouldCreate` + `wouldSkip` + `failed`; `errors` are the first 50."""

    dry_run: Literal[True] = True
    rows: int
    would_create: int
    would_skip: int
    failed: int
    errors: list[RowProblem]


class ImportOut(_Reading):
    """An import and how far it has come: processed = created + skipped + failed, at every moment."""

    id: UUID
    task_id: UUID
    status: ImportState
    file_name: str | None
    records_processed: int
    records_created: int
    records_skipped: int
    records_failed: int
    bytes_processed: int
    bytes_total: int
    error: dict[str, Any] | None = Field(description="Why it failed, or what the last attempt failed of.")
    requested_by: str | None
    created_at: UtcTime
    finished_at: UtcTime | None
    errors_url: str = Field(examples=["/api/v1/leads/imports/01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f/errors"])
