"""Page lists and cursor lists: the same parameters and the same answers everywhere."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from fastapi import Query

from contactship_api.http.problems import BadCursor, Invalid, PageTooDeep
from contactship_api.http.schemas import PageMeta

MAX_TAKE = 100
DEFAULT_TAKE = 10
MAX_ROWS_BY_PAGE = 10_000
_DIGEST_BYTES = 6

Page = Annotated[int, Query(ge=1, le=1_000_000, description="Page, from 1.")]
Take = Annotated[int | None, Query(ge=1, le=MAX_TAKE, description="Rows a page, 1 to 100 (default 10).")]
LimitSynonym = Annotated[int | None, Query(alias="limit", ge=1, le=MAX_TAKE, description="Another name for `take`.")]
Search = Annotated[str | None, Query(max_length=200, description="Part of the texts that describe a row.")]
CursorLimit = Annotated[int, Query(ge=1, le=MAX_TAKE, description="Rows, 1 to 100.")]
_LONGEST_CURSOR = 4_096  # a name may have 511 characters of four bytes
Cursor = Annotated[str | None, Query(max_length=_LONGEST_CURSOR, description="`meta.nextCursor` of the answer before.")]


def rows_wanted(take: int | None, limit: int | None) -> int:
    """Rows a page: `take`, or its synonym `limit`, or 10.

    Raises:
        Invalid: both are given and differ.
    """
    if take is not None and limit is not None and take != limit:
        raise Invalid([{"path": "query.limit", "message": "limit and take differ", "code": "conflicting_synonyms"}])
    return take or limit or DEFAULT_TAKE


def check_depth(page: int, take: int) -> None:
    """Refuse pages so deep that the database would count its way there."""
    if page * take > MAX_ROWS_BY_PAGE:
        raise PageTooDeep


def page_meta(page: int, take: int, total: int, estimated: bool = False) -> PageMeta:
    return PageMeta(total=total, page=page, take=take, total_pages=-(-total // take), total_is_estimate=estimated)


def ordered(sorts: Mapping[str, Any], sort: str, row_id: Any) -> tuple[Any, Any]:
    """`ORDER BY` for `sort` ("name", "-name"), with the id as tie-break in the same direction: an index can do it."""
    column = sorts[sort.removeprefix("-")]
    return (column.desc(), row_id.desc()) if sort.startswith("-") else (column, row_id)


def text_matches(search_text: Any, search: str) -> sa.ColumnElement[bool]:
    """The lower-cased column contains what is searched for. "+54 (11) 3456-7890" finds a number however it was
    written: numbers stand there as digits."""
    text = search.lower()
    found = [search_text.contains(text, autoescape=True)]
    digits = "".join(c for c in text if c.isdigit())
    if len(digits) >= 4 and not any(c.isalpha() for c in text):
        found.append(search_text.contains(digits, autoescape=True))
    return sa.or_(*found)


def encode_cursor(list_name: str, *values: Any) -> str:
    """An opaque, self-checking position: the sort values of the last row, ending in its id."""
    body = orjson.dumps([list_name, *values])
    digest = hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
    return base64.urlsafe_b64encode(digest + body).decode().rstrip("=")


def decode_cursor(list_name: str, cursor: str, length: int) -> list[Any]:
    """The values that `encode_cursor` was given.

    Raises:
        BadCursor: it is not one of ours, or belongs to another list or order.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if not hmac.compare_digest(digest, hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()):
            raise BadCursor
        values = orjson.loads(body)
        if not isinstance(values, list) or len(values) != length + 1 or values[0] != list_name:
            raise BadCursor
        UUID(values[-1])
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise BadCursor from None
    return values[1:]
