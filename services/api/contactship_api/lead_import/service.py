"""Accepting an upload: for a dry run, or as an import that a worker then does."""

import asyncio
from collections.abc import Mapping

import sqlalchemy as sa
from fastapi import Request
from sqlmodel import col

from contactship_api.http.body import decode
from contactship_api.http.problems import Invalid
from contactship_api.http.uploads import UploadAborted
from contactship_api.lead_import.preview import preview
from contactship_api.lead_import.schemas import DryRun, ImportAccepted
from contactship_api.lead_import.stores import FileStore, PieceStore
from contactship_api.lead_import.upload import Upload, receive
from contactship_common.db import Database
from contactship_common.lead_csv.chunks import WINDOW_BYTES, Layout, Position, read_layout
from contactship_common.models import LeadImport
from contactship_common.models.base import new_id
from contactship_common.tasks.catalog import LeadImportRun
from contactship_common.uow import UnitOfWork

_MAX_ENTRIES = 1_000


async def try_out(request: Request, database: Database) -> DryRun:
    """
    Raises:
        What `receive` and `read_layout` raise, and Invalid for a mapping that is no JSON object of texts.
    """
    with FileStore() as store:
        upload = await receive(request, store.put)
        layout, start = await _layout_of(upload)
        return await preview(database, store, layout, start, upload.size)


async def start(request: Request, uow: UnitOfWork) -> ImportAccepted:
    """Store the file and queue its import. The pieces are committed as they come; if anything goes wrong on the way,
    they are deleted again.

    Raises:
        As `try_out`.
    """
    import_id = new_id()
    store = PieceStore(uow.runtime.db, import_id, uow.context.actor)
    try:
        upload = await receive(request, store.put)
        layout, begin = await _layout_of(upload)
        ref = uow.enqueue(LeadImportRun(import_id=import_id))
        await uow.flush()
        ready = sa.update(LeadImport).where(col(LeadImport.id) == import_id)
        made = await uow.session.execute(
            ready.values(
                task_id=ref.id,
                file_name=upload.file_name,
                bytes_total=upload.size,
                encoding=layout.encoding,
                delimiter=layout.delimiter,
                mapping=layout.stored(),
                next_row=begin.row,
                next_byte=begin.byte,
            ).returning(col(LeadImport.id))
        )
        if made.first() is None:
            raise UploadAborted("The upload took so long that it was given up")
    except BaseException:
        await uow.rollback()  # before the draft is deleted on another connection, which would wait for this one
        await asyncio.shield(store.discard())
        raise
    uow.audit("lead.import", "lead_import", import_id, bytes=upload.size, encoding=layout.encoding)
    return ImportAccepted(import_id=import_id, task_id=ref.id, message="The file is being imported; follow Location.")


async def _layout_of(upload: Upload) -> tuple[Layout, Position]:
    encoding = upload.scan.decide()
    at_end = upload.size <= len(upload.head)
    mapping = _mapping(upload.mapping)
    return await asyncio.to_thread(read_layout, upload.head[:WINDOW_BYTES], encoding, at_end=at_end, mapping=mapping)


def _mapping(raw: bytes | None) -> Mapping[str, str | None] | None:
    """The form's `mapping`. Raises Invalid."""
    if raw is None or not raw.strip():
        return None
    value = decode(raw)
    if (
        not isinstance(value, dict)
        or len(value) > _MAX_ENTRIES
        or not all(isinstance(target, str | None) for target in value.values())
    ):
        message = "mapping must be a JSON object that maps column names to field names or null"
        raise Invalid([{"path": "body.mapping", "message": message, "code": "mapping_not_an_object"}])
    return value
