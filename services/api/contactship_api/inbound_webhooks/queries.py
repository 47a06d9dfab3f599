"""Reads of the inbox. All of them are for an ADMIN, who sees every entry."""

from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.inbound_webhooks.schemas import InboxEntryOut, InboxError
from contactship_common.contact_center.raw import kept
from contactship_common.contact_center.twilio import form_of
from contactship_common.contact_center.values import storable
from contactship_common.masking import mask_data, mask_pii
from contactship_common.models import InboxEntry

PREVIEW_CHARS = 2_000
# What is read of a body: one that is longer is shown as text, cut.
_READ_BYTES = 64 * 1024

_entry = InboxEntry
_COLUMNS = (
    col(_entry.id), col(_entry.provider), col(_entry.kind), col(_entry.key), col(_entry.received_at),
    col(_entry.handled_at), col(_entry.attempts), col(_entry.error), col(_entry.content_type),
    sa.func.octet_length(col(_entry.body)).label("body_bytes"),
    sa.func.substr(col(_entry.body), 1, _READ_BYTES).label("beginning"),
)  # fmt: skip


async def page(
    session: AsyncSession, *, handled: bool | None, provider: str | None, limit: int, cursor: str | None, masked: bool
) -> tuple[list[InboxEntryOut], str | None]:
    """The newest first, and the cursor of the next page."""
    statement = sa.select(*_COLUMNS)
    if handled is not None:
        since = col(_entry.handled_at)
        statement = statement.where(since.is_not(None) if handled else since.is_(None))
    if provider is not None:
        statement = statement.where(col(_entry.provider) == provider)
    if cursor:
        statement = statement.where(col(_entry.id) < UUID(decode_cursor("inbox", cursor, 1)[0]))
    rows = (await session.execute(statement.order_by(col(_entry.id).desc()).limit(limit + 1))).all()
    following = encode_cursor("inbox", str(rows[limit - 1].id)) if len(rows) > limit else None
    return [_shown(row, masked) for row in rows[:limit]], following


async def find(session: AsyncSession, inbox_id: UUID, *, masked: bool) -> InboxEntryOut | None:
    row = (await session.execute(sa.select(*_COLUMNS).where(col(_entry.id) == inbox_id))).first()
    return _shown(row, masked) if row else None


def _shown(row: Any, masked: bool) -> InboxEntryOut:
    return InboxEntryOut(
        id=row.id,
        provider=row.provider,
        kind=row.kind,
        key=mask_pii(row.key) if masked else row.key,
        received_at=row.received_at,
        handled_at=row.handled_at,
        attempts=row.attempts,
        error=InboxError(**row.error) if row.error else None,
        content_type=row.content_type,
        body_bytes=row.body_bytes,
        body_preview=_preview(row, masked) if row.beginning is not None else None,
    )


def _preview(row: Any, masked: bool) -> str:
    """Field by field where the body is whole and can be read, else its beginning as text."""
    told = _read(row)
    if told is None:
        text = storable(bytes(row.beginning).decode("utf-8", "replace"))
        return (mask_pii(text) if masked else text)[:PREVIEW_CHARS]
    shown = kept(told)
    return orjson.dumps(mask_data(shown) if masked else shown).decode()[:PREVIEW_CHARS]


def _read(row: Any) -> Any:
    if row.body_bytes > len(row.beginning):
        return None
    if row.provider == "twilio":
        return dict(form_of(bytes(row.beginning))) or None
    try:
        return orjson.loads(row.beginning)
    except orjson.JSONDecodeError:
        return None
