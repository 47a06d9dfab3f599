"""Forms with a file, read by a push parser: what comes in is in memory only as long as somebody wants it.

Not Starlette's `request.form()`, which leaves its files open when a body breaks off.
"""

from collections.abc import Sequence

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from contactship_api.http.problems import PayloadTooLarge, UnsupportedMediaType
from contactship_common.errors import ContactshipError, Unprocessable


class NotMultipart(UnsupportedMediaType):
    code, title = "not_multipart", "Send multipart/form-data with the field file"


class MalformedUpload(ContactshipError):
    status, code, title = 400, "malformed_upload", "The multipart body could not be read to its end"


class UploadAborted(ContactshipError):
    """The client went away: nobody reads this answer, but the log shows no 500."""

    status, code, title = 400, "upload_aborted", "The upload broke off"


class FileMissing(Unprocessable):
    code, title = "file_missing", "The form has no field named file with a file in it"


class UnknownFormField(Unprocessable):
    code, title = "unknown_form_field", "The form has a field that is not taken here, or one of them twice"


UPLOAD_PROBLEMS: tuple[type[ContactshipError], ...] = (
    NotMultipart, MalformedUpload, UploadAborted, PayloadTooLarge, UnknownFormField, FileMissing,
)  # fmt: skip
"""For `raises`."""


def form_of(request: Request, *, texts: Sequence[str] = (), max_text_bytes: int = 0) -> "Form | None":
    """What reads the body of this request, if it is a form. `texts` are the fields it may have besides `file`.

    Raises:
        MalformedUpload: the parts of the form cannot be told apart.
    """
    media, options = parse_options_header(request.headers.get("content-type"))
    if media != b"multipart/form-data":
        return None
    if not options.get(b"boundary"):
        raise MalformedUpload
    return Form(options[b"boundary"], texts=texts, max_text_bytes=max_text_bytes)


class Form:
    """Feed it the body. `file` holds what has come of the file and not been taken; `file_name` is None until the file
    begins; `texts` are the other fields."""

    def __init__(self, boundary: bytes, *, texts: Sequence[str], max_text_bytes: int) -> None:
        self.file = bytearray()
        self.file_name: str | None = None
        self.texts: dict[str, bytearray] = {}
        self._max_text_bytes = max_text_bytes
        self._fields = frozenset({"file", *texts})
        self._complete = False
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

    def finish(self) -> None:
        """The body is at its end.

        Raises:
            MalformedUpload, FileMissing
        """
        if not self._complete:
            raise MalformedUpload
        if self.file_name is None:
            raise FileMissing

    def take(self, most_bytes: int) -> bytes:
        """Take the next bytes of the file out of the memory."""
        piece = bytes(self.file[:most_bytes])
        del self.file[:most_bytes]
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
        self._part = part = options.get(b"name", b"").decode("utf-8", "replace")
        is_repeated = part in self.texts or (part == "file" and self.file_name is not None)
        if part not in self._fields or is_repeated:
            raise UnknownFormField
        if part != "file":
            self.texts[part] = bytearray()
            return
        if b"filename" not in options:
            raise FileMissing
        name = options[b"filename"].decode("utf-8", "replace")
        self.file_name = "".join(c for c in name if c.isprintable())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self.file += data[start:end]
            return
        text = self.texts[self._part]
        text += data[start:end]
        if len(text) > self._max_text_bytes:
            raise PayloadTooLarge(f"The limit of a {self._part} is {self._max_text_bytes:,} bytes")

    def _finish(self) -> None:
        self._complete = True
