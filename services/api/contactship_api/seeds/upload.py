"""What came with the request: a file, or nothing."""

from fastapi import Request
from starlette.requests import ClientDisconnect

from contactship_api.http.problems import PayloadTooLarge
from contactship_api.http.uploads import NotMultipart, UploadAborted, form_of

MAX_FILE_BYTES = 10 * 1024 * 1024
_FRAME_BYTES = 64 * 1024


async def receive(request: Request) -> bytes | None:
    """The uploaded file; None: there is no body, or `{}`, and the bundled meetings are meant.

    Raises:
        NotMultipart, MalformedUpload, UploadAborted, FileMissing, UnknownFormField
        PayloadTooLarge: the file has over 10 MiB.
    """
    form = form_of(request)
    if form is not None:
        request.state.max_body_bytes = MAX_FILE_BYTES + _FRAME_BYTES
    try:
        body = await request.body()
    except ClientDisconnect:
        raise UploadAborted from None
    if form is None:
        if body.strip() in (b"", b"{}"):
            return None
        raise NotMultipart
    form.feed(body)
    form.finish()
    if len(form.file) > MAX_FILE_BYTES:
        raise PayloadTooLarge(f"The limit of a file is {MAX_FILE_BYTES:,} bytes")
    return bytes(form.file)
