"""Conditional requests: strong ETags, 304 for what the client has, 412 for whoever was slower."""

import hashlib
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header, Request
from starlette.responses import Response

from contactship_api.http.schemas import Out
from contactship_common.errors import PreconditionFailed

IfMatch = Annotated[str | None, Header(max_length=1_000, description="Write only if it still has this ETag.")]
IfNoneMatch = Annotated[str | None, Header(max_length=1_000, description="Answer 304 if it still has this ETag.")]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "You have this state already"}}


def etag_of(version: int, body: bytes) -> str:
    """A strong ETag: the row's version, and a hash because an answer may show more than its own row."""
    return f'"{version}-{hashlib.blake2b(body, digest_size=8).hexdigest()}"'


def version_at(moment: datetime) -> int:
    """A version for rows without a counter: the microsecond of their last change."""
    return int(moment.timestamp() * 1_000_000)


def json_answer(out: Out, version: int, status: int, headers: dict[str, str] | None = None) -> Response:
    """The resource as it is after a write, with its ETag."""
    body = out.json_bytes()
    sent = {"ETag": etag_of(version, body), **(headers or {})}
    return Response(body, status_code=status, media_type="application/json", headers=sent)


def _tags(header: str) -> set[str]:
    return {tag.strip() for tag in header.split(",")}


def answer(request: Request | None, body: bytes, etag: str, headers: dict[str, str] | None = None) -> Response:
    """The body with its ETag, or 304 when the client's `If-None-Match` has it."""
    sent = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    wanted = request.headers.get("if-none-match") if request is not None else None
    if wanted is not None:
        tags = {tag.removeprefix("W/") for tag in _tags(wanted)}
        if etag in tags or "*" in tags:
            return Response(status_code=304, headers=sent)
    return Response(body, media_type="application/json", headers=sent)


def packed(version: int, body: bytes) -> bytes:
    """The body with its ETag in front, as it is kept in the cache."""
    return etag_of(version, body).encode() + b"\n" + body


def unpacked(stored: bytes, headers: dict[str, str], request: Request | None = None) -> Response:
    """The answer of which `packed` has made this; 304 where the client of `request` has it."""
    etag, _, body = stored.partition(b"\n")
    return answer(request, body, etag.decode(), headers)


def json_unless_known(request: Request, out: Out, version: int) -> Response:
    """The resource with its ETag, or 304 when the client has it."""
    body = out.json_bytes()
    return answer(request, body, etag_of(version, body))


def check_match(if_match: str | None, current: str) -> None:
    """Refuse the write when `If-Match` names another state than the current one.

    Raises:
        PreconditionFailed: somebody else was faster.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if current not in _tags(if_match):
        raise PreconditionFailed
