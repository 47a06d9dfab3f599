"""Conditional requests: strong ETags, 304 for what the client has, 412 for whoever was slower."""

import hashlib

from fastapi import Request
from starlette.responses import Response

from contactship_common.errors import PreconditionFailed


def etag_of(version: int, body: bytes) -> str:
    """A strong ETag: the row's version, and a hash because an answer may show more than its own row."""
    return f'"{version}-{hashlib.blake2b(body, digest_size=8).hexdigest()}"'


def _tags(header: str) -> set[str]:
    return {tag.strip() for tag in header.split(",")}


def answer(request: Request, body: bytes, etag: str, headers: dict[str, str] | None = None) -> Response:
    """The body with its ETag, or 304 when the client's `If-None-Match` has it."""
    sent = {"ETag": etag, "Cache-Control": "private, no-cache", **(headers or {})}
    wanted = request.headers.get("if-none-match")
    if wanted is not None:
        tags = {tag.removeprefix("W/") for tag in _tags(wanted)}
        if etag in tags or "*" in tags:
            return Response(status_code=304, headers=sent)
    return Response(body, media_type="application/json", headers=sent)


def check_match(if_match: str | None, current: str) -> None:
    """Refuse the write when `If-Match` names another state than the current one.

    Raises:
        PreconditionFailed: somebody else was faster.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if current not in _tags(if_match):
        raise PreconditionFailed
