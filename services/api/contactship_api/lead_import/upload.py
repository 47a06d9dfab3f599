"""Receiving a multipart upload piece by piece: a file of 50 MiB passes through a buffer of one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from contactship_api.http.problems import PayloadTooLarge
from contactship_api.lead_import.errors import (
    FileMissing,
    MalformedUpload,
    NotMultipart,
    UnknownFormField,
    UploadAborted,
)
from contactship_common.lead_csv.encoding import EncodingScan
from contactship_common.lead_csv.pieces import PIECE_BYTES

MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_MAPPING_BYTES = 64 * 1024
MAX_BODY_BYTES = MAX_FILE_BYTES + 2 * MAX_MAPPING_BYTES  # the frame around the file, and the mapping
_LONGEST_FILE_NAME = 255
_FIELDS = ("file", "mapping")

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
    media, options = parse_options_header(request.headers.get("content-type"))
    if media != b"multipart/form-data":
        raise NotMultipart
    if not options.get(b"boundary"):
        raise MalformedUpload
    request.state.max_body_bytes = MAX_BODY_BYTES
    form = _Form(options[b"boundary"])
    upload = Upload()
    try:
        async for chunk in request.stream():
            form.feed(chunk)
            while len(form.file) >= PIECE_BYTES:
                await _pass_on(upload, form.take_piece(), put)
    except ClientDisconnect:
        raise UploadAborted from None
    if not form.complete:
        raise MalformedUpload
    if form.file_name is None:
        raise FileMissing
    if form.file:
        await _pass_on(upload, form.take_piece(), put)
    upload.file_name = form.file_name[:_LONGEST_FILE_NAME] or None
    upload.mapping = bytes(form.mapping) if "mapping" in form.seen else None
    return upload


async def _pass_on(upload: Upload, piece: bytes, put: Put) -> None:
    upload.size += len(piece)
    upload.head = upload.head or piece
    if upload.size > MAX_FILE_BYTES:
        raise PayloadTooLarge(f"The limit of a file is {MAX_FILE_BYTES:,} bytes")
    await asyncio.to_thread(upload.scan.feed, piece)
    await put(piece)


class _Form:
    """The push parser's callbacks: collect what a chunk of the body completes."""

    def __init__(self, boundary: bytes) -> None:
        self.file = bytearray()
        self.file_name: str | None = None
        self.mapping = bytearray()
        self.seen: set[str] = set()
        self.complete = False
        self._part = ""
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_end": self._finish,
            },
        )

    def feed(self, chunk: bytes) -> None:
        """
        Raises:
            MalformedUpload, UnknownFormField, FileMissing, PayloadTooLarge
        """
        try:
            self._parser.write(chunk)
        except MultipartParseError:
            raise MalformedUpload from None

    def take_piece(self) -> bytes:
        piece = bytes(self.file[:PIECE_BYTES])
        del self.file[:PIECE_BYTES]
        return piece

    def _begin(self) -> None:
        self._disposition = b""
        self._header.clear()
        self._value.clear()

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        self._part = options.get(b"name", b"").decode("utf-8", "replace")
        if self._part not in _FIELDS or self._part in self.seen:
            raise UnknownFormField
        self.seen.add(self._part)
        if self._part == "file":
            if b"filename" not in options:
                raise FileMissing
            name = options[b"filename"].decode("utf-8", "replace")
            self.file_name = "".join(c for c in name if c.isprintable())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self.file += data[start:end]
            return
        self.mapping += data[start:end]
        if len(self.mapping) > MAX_MAPPING_BYTES:
            raise PayloadTooLarge(f"The limit of a mapping is {MAX_MAPPING_BYTES:,} bytes")

    def _finish(self) -> None:
        self.complete = True
