"""/seeds: paths, status codes, who may call."""

import asyncio
from typing import Any

from fastapi import Request, Response

from contactship_api.access.requires import Admin
from contactship_api.deps import Uow
from contactship_api.http.route import api_router, raises, streams_body
from contactship_api.http.uploads import UPLOAD_PROBLEMS
from contactship_api.seeds import rows, service
from contactship_api.seeds.errors import ColumnsMissing, ColumnsRepeated, TooManyRows
from contactship_api.seeds.schemas import Populated
from contactship_api.seeds.upload import receive
from contactship_common.lead_csv.errors import EncodingUnknown, FileEmpty, LineTooLong, NoRows, NotCsv
from contactship_common.tasks.catalog import ClassifyMeeting

router = api_router(prefix="/seeds", tags=["seeds"])

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": False,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "CSV with the columns "
                            + ", ".join(f"`{name}`" for name in rows.COLUMNS.values())
                            + "; up to 10 MiB and 5,000 rows of at most 64 Ki characters. UTF-8, UTF-16 with a byte "
                            "order mark, or Windows-1252; comma, semicolon, tab or pipe: both are detected.",
                        }
                    },
                }
            }
        },
    }
}


@router.post(
    "/populate",
    status_code=202,
    response_model=Populated,
    responses={200: {"model": Populated, "description": "There is nothing to classify"}},
    openapi_extra=_FORM,
)
@streams_body
@raises(
    *UPLOAD_PROBLEMS,
    FileEmpty,
    NotCsv,
    EncodingUnknown,
    LineTooLong,
    NoRows,
    ColumnsMissing,
    ColumnsRepeated,
    TooManyRows,
)
async def populate(request: Request, who: Admin, uow: Uow) -> Response:
    """Take in meetings with their clients and sellers, the bundled demo meetings or those of a CSV file, and queue
    every meeting that is not classified.

    The same row again makes nothing, also after its meeting was deleted. Sellers are found by their name; a new one
    gets an address at example.com made of it. Clients are found by their e-mail; people with the same e-mail and
    different names stay apart and are reported. A row that cannot be taken in is listed and stops no other.
    """
    content = await receive(request)
    if content is None:
        out = await service.populate(uow, rows.bundled(), [], source="bundled")
    else:
        found, problems = await asyncio.to_thread(rows.read_csv, content)
        out = await service.populate(uow, found, problems, source="upload")
    if not out.queued:
        return Response(out.json_bytes(), media_type="application/json")
    headers = {"Location": f"/api/v1/tasks?kind={ClassifyMeeting.KIND}", "Retry-After": "2"}
    return Response(out.json_bytes(), status_code=202, media_type="application/json", headers=headers)
