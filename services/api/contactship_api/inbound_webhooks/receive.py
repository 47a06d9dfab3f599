"""Taking in a webhook: stored before it is understood, answered at once, handled by a worker."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_common.contact_center.pieces import Piece
from contactship_common.models import InboxEntry
from contactship_common.models.base import new_id
from contactship_common.tasks.catalog import HandleWebhook
from contactship_common.uow import UnitOfWork

# Kept to understand and replay an event; credentials and signatures are not.
_KEPT_HEADERS = ("content-type", "user-agent", "x-request-id", "i-twilio-idempotency-token")


async def take_in(
    uow: UnitOfWork, request: Request, *, provider: str, kind: str, pieces: Iterable[Piece], query: dict[str, str]
) -> bool:
    """Store what is new and have it handled, in one transaction; what was stored before but never handled is queued
    again. Returns whether everything was known already."""
    headers = {name: value for name in _KEPT_HEADERS if (value := request.headers.get(name))}
    rows: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "provider": provider,
            "kind": kind,
            "key": piece.stored_key,
            "headers": headers,
            "query": query,
            "content_type": request.headers.get("content-type", "")[:255] or None,
            "body": piece.body,
            "attempts": 0,
            "request_id": uow.context.request_id,
        }
        # In one order everywhere, so that two requests with the same events never wait for each other.
        for piece in sorted({piece.stored_key: piece for piece in pieces}.values(), key=lambda piece: piece.key)
    ]
    if not rows:
        return False
    statement = insert(InboxEntry).values(rows).on_conflict_do_nothing(index_elements=["provider", "key"])
    new = set((await uow.session.execute(statement.returning(col(InboxEntry.id)))).scalars())
    for inbox_id in new:
        uow.enqueue(HandleWebhook(inbox_id=inbox_id))
    if len(new) < len(rows):
        known = sa.select(col(InboxEntry.id)).where(
            col(InboxEntry.provider) == provider,
            col(InboxEntry.key).in_([row["key"] for row in rows]),
            col(InboxEntry.handled_at).is_(None),
            col(InboxEntry.id).not_in(new),
        )
        for inbox_id in (await uow.session.execute(known)).scalars():
            uow.enqueue(HandleWebhook(inbox_id=inbox_id))
    return not new
