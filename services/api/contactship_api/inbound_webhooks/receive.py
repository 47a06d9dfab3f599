"""Taking in a webhook: stored before it is understood, answered at once, handled by a worker."""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

import orjson
import sqlalchemy as sa
from fastapi import Request
from sqlmodel import col

from contactship_common.contact_center.pieces import Piece
from contactship_common.models import InboxEntry
from contactship_common.models.base import new_id
from contactship_common.tasks.catalog import HandleWebhook
from contactship_common.uow import UnitOfWork

# Kept to understand and replay an event; credentials and signatures are not.
_KEPT_HEADERS = ("content-type", "user-agent", "x-request-id", "i-twilio-idempotency-token")
_LONGEST_HEADER = 500

# In one order everywhere, so that two requests with the same events never wait for each other.
_STORE = """
INSERT INTO webhook_inbox (id, provider, kind, key, headers, query, content_type, body, attempts, request_id)
SELECT piece.id, %(provider)s, %(kind)s, piece.key, %(headers)s::jsonb, %(query)s::jsonb, %(content_type)s, piece.body,
       0, %(request_id)s
  FROM unnest(%(ids)s::uuid[], %(keys)s::text[], %(bodies)b::bytea[]) AS piece(id, key, body)
 ORDER BY piece.key
    ON CONFLICT (provider, key) DO NOTHING
RETURNING id
"""


async def take_in(
    uow: UnitOfWork, request: Request, *, provider: str, kind: str, pieces: Iterable[Piece], query: dict[str, str]
) -> bool:
    """Store what is new and have it handled, in one statement; what was stored before but never handled is queued
    again. Returns whether everything was known already.

    The statement commits by itself, before the answer: a provider whose answer is lost sends the same again, and that
    is a duplicate.
    """
    uow.context = replace(uow.context, actor=f"provider:{provider}")
    each: dict[str, tuple[UUID, bytes]] = {}
    for piece in pieces:
        each.setdefault(piece.stored_key, (new_id(), piece.body))
    if not each:
        return False
    for inbox_id, _ in each.values():
        uow.enqueue(HandleWebhook(inbox_id=inbox_id))
    headers = {name: value[:_LONGEST_HEADER] for name in _KEPT_HEADERS if (value := request.headers.get(name))}
    new = await uow.store_with_tasks(
        _STORE,
        {
            "provider": provider,
            "kind": kind,
            "headers": orjson.dumps(headers).decode(),
            "query": orjson.dumps(query).decode(),
            "content_type": headers.get("content-type", "")[:255] or None,
            "request_id": uow.context.request_id,
            "ids": [inbox_id for inbox_id, _ in each.values()],
            "keys": list(each),
            "bodies": [body for _, body in each.values()],
        },
    )
    if len(new) < len(each):
        known = sa.select(col(InboxEntry.id)).where(
            col(InboxEntry.provider) == provider,
            col(InboxEntry.key).in_([key for key, (inbox_id, _) in each.items() if inbox_id not in new]),
            col(InboxEntry.handled_at).is_(None),
        )
        for inbox_id in (await uow.session.execute(known)).scalars():
            uow.enqueue(HandleWebhook(inbox_id=inbox_id))
    return not new
