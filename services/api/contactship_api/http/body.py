"""The one decoder for JSON bodies, stricter than Python's: what it lets through can be stored and sent back.

NUL cannot be stored in PostgreSQL, lone surrogates cannot be encoded, NaN and Infinity are not JSON, and deep nesting
exhausts the stack of whoever reads it next. Each of these is a 500 in a plain FastAPI application.
"""

from typing import Any

import orjson
from fastapi import Request

from contactship_api.http.problems import Invalid, JsonTooDeep, MalformedJson, UnsupportedMediaType

MAX_DEPTH = 64


def decode(raw: bytes) -> Any:
    """The decoded body.

    Raises:
        MalformedJson: not JSON, not UTF-8, a lone surrogate, NaN or Infinity.
        JsonTooDeep: nested over 64 levels.
        Invalid: a NUL character in a text or a key.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):
            raise JsonTooDeep from None
        raise MalformedJson from None
    _check(value, 1)
    return value


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise Invalid([{"path": "body", "message": "NUL characters are not accepted", "code": "nul_character"}])
        return
    if not isinstance(value, dict | list):
        return
    if depth > MAX_DEPTH:
        raise JsonTooDeep
    if isinstance(value, dict):
        for key, item in value.items():
            _check(key, depth)
            _check(item, depth + 1)
    else:
        for item in value:
            _check(item, depth + 1)


def _is_json(content_type: str) -> bool:
    media = content_type.split(";", 1)[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


async def decode_into(request: Request) -> None:
    """Read and decode the body, and leave it where FastAPI looks for it. An empty body stays empty."""
    raw = await request.body()
    if not raw:
        return
    if not _is_json(request.headers.get("content-type", "")):
        raise UnsupportedMediaType
    request._json = decode(raw)
