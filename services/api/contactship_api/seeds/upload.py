"""What came with the request: a file, or nothing."""

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from contactship_api.http.problems import PayloadTooLarge
from contactship_api.seeds.errors import FileMissing, MalformedUpload, NotMultipart, UnknownFormField, UploadAborted

MAX_FILE_BYTES = 10 * 1024 * 1024
_FRAME_BYTES = 64 * 1024


async def receive(request: Request) -> bytes | None:
    """The uploaded file; None: there is no body, or `{}`.

    Raises:
        NotMultipart, MalformedUpload, UploadAborted, FileMissing, UnknownFormField
        PayloadTooLarge: the file has over 10 MiB.
    """
    media, options = parse_options_header(request.headers.get("content-type"))
    is_form = media == b"multipart/form-data"
    if is_form:
        request.state.max_body_bytes = MAX_FILE_BYTES + _FRAME_BYTES
    try:
        body = await request.body()
    except ClientDisconnect:
        raise UploadAborted from None
    if not is_form:
        if body.strip() in (b"", b"{}"):
            return None
        raise NotMultipart
    if not options.get(b"boundary"):
        raise MalformedUpload
    return _Form(options[b"boundary"]).file_in(body)


class _Form:
    """The push parser's callbacks. Not Starlette's `request.form()`: it leaves files open when a body breaks off."""

    def __init__(self, boundary: bytes) -> None:
        self._file: bytearray | None = None
        self._complete = False
        self._name = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_header_field": lambda data, start, end: self._name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._data,
                "on_end": self._finish,
            },
        )

    def file_in(self, body: bytes) -> bytes:
        """
        Raises:
            MalformedUpload, UnknownFormField, FileMissing, PayloadTooLarge
        """
        try:
            self._parser.write(body)
        except MultipartParseError:
            raise MalformedUpload from None
        if not self._complete:
            raise MalformedUpload
        if self._file is None:
            raise FileMissing
        if len(self._file) > MAX_FILE_BYTES:
            raise PayloadTooLarge(f"The limit of a file is {MAX_FILE_BYTES:,} bytes")
        return bytes(self._file)

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        self._disposition = b""
        if options.get(b"name") != b"file" or self._file is not None:
            raise UnknownFormField
        if b"filename" not in options:
            raise FileMissing
        self._file = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file += data[start:end]

    def _finish(self) -> None:
        self._complete = True
