"""/leads/import and /leads/imports: paths, status codes, who may call."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Request, Response
from starlette.responses import StreamingResponse

from contactship_api.access.requires import LeadsAdmin
from contactship_api.deps import Reading, TheGateway, Uow
from contactship_api.gateway import Gateway
from contactship_api.http.problems import JsonTooDeep, MalformedJson
from contactship_api.http.route import api_router, raises, streams_body
from contactship_api.http.uploads import UPLOAD_PROBLEMS
from contactship_api.lead_import import queries, service
from contactship_api.lead_import.errors import ImportNotFound
from contactship_api.lead_import.schemas import FIELD_NAMES, DryRun, ImportAccepted, ImportOut
from contactship_common.lead_csv.errors import (
    EmailColumnMissing,
    EncodingUnknown,
    FileEmpty,
    LineTooLong,
    MappingRefused,
    NameColumnMissing,
    NoRows,
    NotCsv,
)
from contactship_common.lead_csv.writing import csv_line

router = api_router(prefix="/leads", tags=["leads"])

_CSV = "text/csv; charset=utf-8"
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV with a header, up to 50 MiB. UTF-8, UTF-16 with a byte order mark, or "
                            "Windows-1252; comma, semicolon, tab or pipe: both are detected.",
                        },
                        "mapping": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "description": "JSON object {column: field}; other columns are guessed from their English "
                            "or Spanish names. Fields: " + ", ".join(FIELD_NAMES) + "; `metadata` keeps the column "
                            "under its name, `metadata.key` under that key, null ignores it.",
                            "examples": ['{"Correo": "email", "Empresa": "metadata.company", "Interno": null}'],
                        },
                    },
                },
                "encoding": {"mapping": {"contentType": "text/plain, application/json"}},
            }
        },
    }
}
_ERRORS_CSV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "CSV with the columns row, code, message",
        "content": {"text/csv": {"schema": {"type": "string"}, "example": '"row","code","message"\r\n'}},
    }
}


@router.post(
    "/import",
    status_code=202,
    response_model=ImportAccepted,
    responses={200: {"model": DryRun, "description": "Dry run: what the import would do; nothing was written"}},
    openapi_extra=_FORM,
)
@streams_body
@raises(
    *UPLOAD_PROBLEMS,
    MalformedJson,
    JsonTooDeep,
    FileEmpty,
    NotCsv,
    EncodingUnknown,
    LineTooLong,
    NoRows,
    EmailColumnMissing,
    NameColumnMissing,
    MappingRefused,
)
async def import_leads(
    request: Request,
    who: LeadsAdmin,
    uow: Uow,
    gateway: TheGateway,
    dry_run: Annotated[bool, Query(alias="dryRun", description="Only say what would happen.")] = False,
) -> Response:
    """Make leads of the rows of a CSV file; those whose e-mail or external id is there already are skipped.

    Columns that are no field of a lead are kept in its metadata. Dates are ISO 8601 or day first (`17/08/1990`).
    A row that cannot be imported is listed with its number at `GET /leads/imports/{id}/errors` and stops no other.
    """
    if dry_run:
        tried = await service.try_out(request, gateway.runtime.db)
        return Response(tried.json_bytes(), media_type="application/json")
    accepted = await service.start(request, uow)
    headers = {"Location": f"/api/v1/tasks/{accepted.task_id}", "Retry-After": "1"}
    return Response(accepted.json_bytes(), status_code=202, media_type="application/json", headers=headers)


@router.get("/imports/{import_id}", response_model=ImportOut)
@raises(ImportNotFound)
async def get_import(import_id: UUID, who: LeadsAdmin, session: Reading) -> ImportOut:
    """How far an import has come, or how it ended."""
    found = await queries.find(session, who, import_id)
    if found is None:
        raise ImportNotFound
    return found


@router.get("/imports/{import_id}/errors", responses=_ERRORS_CSV, response_class=StreamingResponse)
@raises(ImportNotFound)
async def get_import_errors(import_id: UUID, who: LeadsAdmin, gateway: TheGateway) -> StreamingResponse:
    """Every row that could not be imported, as CSV. `row` counts as a spreadsheet does, the header being row 1."""
    async with gateway.runtime.db.reading() as session:
        if await queries.find(session, who, import_id) is None:
            raise ImportNotFound
    headers = {"Content-Disposition": f'attachment; filename="import-{import_id}-errors.csv"'}
    return StreamingResponse(_errors_csv(gateway, import_id), media_type=_CSV, headers=headers)


async def _errors_csv(gateway: Gateway, import_id: UUID) -> AsyncIterator[bytes]:
    yield csv_line(("row", "code", "message")).encode()
    async for errors in queries.walk_errors(gateway.runtime.db, import_id):
        yield "".join(csv_line((str(e.row_number), e.code, e.message)) for e in errors).encode()
