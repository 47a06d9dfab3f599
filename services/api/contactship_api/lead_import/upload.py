"""Receiving a multipart upload piece by piece: a file of 50 MiB passes through a buffer of one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import Request
from starlette.requests import ClientDisconnect

from contactship_api.http.problems import PayloadTooLarge
from contactship_api.http.uploads import NotMultipart, UploadAborted, form_of
from contactship_common.lead_csv.encoding import EncodingScan
from contactship_common.lead_csv.pieces import PIECE_BYTES

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_MAPPING_BYTES = 64 * 1024
MAX_BODY_BYTES = MAX_FILE_BYTES + 2 * MAX_MAPPING_BYTES  # the frame around the file, and the mapping
_LONGEST_FILE_NAME = 255

Put = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class Upload:
    """What came in. `head` is the file's first piece, `scan` has seen all of it."""

    size: int = 0
    head: bytes = b""
    file_name: str | None = None
    mapping: bytes | None = None
    scan: EncodingScan = field(default_factory=EncodingScan)


async def receive(request: Request, put: Put) -> Upload:
    """Read the form; every piece of the file (1 MiB, the last one less) goes to `put` as it arrives.

    Raises:
        NotMultipart, MalformedUpload, UploadAborted, UnknownFormField, FileMissing
        PayloadTooLarge: the file has over 50 MiB, or the mapping over 64 KiB.
        NotCsv, EncodingUnknown, LineTooLong: see `EncodingScan`.
    """
    form = form_of(request, texts=("mapping",), max_text_bytes=MAX_MAPPING_BYTES)
    if form is None:
        raise NotMultipart
    request.state.max_body_bytes = MAX_BODY_BYTES
    upload = Upload()
    try:
        async for chunk in request.stream():
            form.feed(chunk)
            while len(form.file) >= PIECE_BYTES:
                await _pass_on(upload, form.take(PIECE_BYTES), put)
    except ClientDisconnect:
        raise UploadAborted from None
    form.finish()
    if form.file:
        await _pass_on(upload, form.take(PIECE_BYTES), put)
    upload.file_name = (form.file_name or "")[:_LONGEST_FILE_NAME] or None
    mapping = form.texts.get("mapping")
    upload.mapping = None if mapping is None else bytes(mapping)
    return upload


async def _pass_on(upload: Upload, piece: bytes, put: Put) -> None:
    upload.size += len(piece)
    upload.head = upload.head or piece
    if upload.size > MAX_FILE_BYTES:
        raise PayloadTooLarge(f"The limit of a file is {MAX_FILE_BYTES:,} bytes")
    await asyncio.to_thread(upload.scan.feed, piece)
    await put(piece)
