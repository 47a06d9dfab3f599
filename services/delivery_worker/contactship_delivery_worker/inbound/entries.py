"""The inbox entry that is being handled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from contactship_common.models import Provider
from contactship_common.models.base import new_id
from contactship_common.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Entry:
    id: UUID
    provider: str
    kind: str
    key: str
    query: Mapping[str, str]
    body: bytes | None
    attempts: int
    received_at: datetime
    handled_at: datetime | None

    @property
    def told_by(self) -> Provider:
        return Provider(self.provider.upper())


_LOCK = sa.text("""
SELECT id, provider, kind, key, query, body, attempts, received_at, handled_at FROM webhook_inbox WHERE id = :id
   FOR UPDATE
""")


async def lock_entry(uow: UnitOfWork, inbox_id: UUID) -> Entry | None:
    """The entry, ours until the transaction ends: of two runs about it the second finds it handled."""
    row = (await uow.session.execute(_LOCK, {"id": inbox_id})).first()
    return Entry(*row) if row else None


_LOCK_ALL = """
SELECT id, provider, kind, key, query, body, attempts, received_at, handled_at FROM webhook_inbox
 WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE
"""


async def lock_entries(uow: UnitOfWork, inbox_ids: Sequence[UUID]) -> dict[UUID, Entry]:
    """Those that are there, by id."""
    rows = await (await uow.session.connection()).exec_driver_sql(_LOCK_ALL, {"ids": list(inbox_ids)})
    return {row.id: Entry(*tuple(row)) for row in rows.all()}


_HANDLED = sa.text("""
UPDATE webhook_inbox SET handled_at = clock_timestamp(), attempts = attempts + 1, error = NULL WHERE id = :id
""")
_HANDLED_WITH_EVENT = sa.text("""
WITH told AS (
    INSERT INTO interaction_events (id, interaction_id, type, provider, provider_event_id, idempotency_key, raw,
                                    normalized, occurred_at)
    VALUES (:event_id, :interaction_id, :type, :provider, :provider_event_id, :idempotency_key,
            CAST(:raw AS jsonb), CAST(:normalized AS jsonb), :occurred_at)
    ON CONFLICT (idempotency_key) DO NOTHING)
UPDATE webhook_inbox SET handled_at = clock_timestamp(), attempts = attempts + 1, error = NULL WHERE id = :id
""").bindparams(sa.bindparam("occurred_at", type_=sa.DateTime(timezone=True)))
_EVENT = sa.text("""
INSERT INTO interaction_events (id, interaction_id, type, provider, provider_event_id, idempotency_key, raw,
                                normalized, occurred_at)
VALUES (:event_id, :interaction_id, :type, :provider, :provider_event_id, :idempotency_key, CAST(:raw AS jsonb),
        CAST(:normalized AS jsonb), :occurred_at)
    ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id
""").bindparams(sa.bindparam("occurred_at", type_=sa.DateTime(timezone=True)))


@dataclass(frozen=True, slots=True)
class EventRow:
    """A row of `interaction_events`. Its key is the entry's: an event is written once, however often it is handled."""

    interaction_id: UUID
    type: str
    provider_event_id: str | None
    raw: Any
    normalized: dict[str, Any]
    occurred_at: datetime | None


def _parameters(entry: Entry, row: EventRow) -> dict[str, Any]:
    return {
        "event_id": new_id(),
        "interaction_id": row.interaction_id,
        "type": row.type[:100],
        "provider": str(entry.told_by),
        "provider_event_id": row.provider_event_id,
        "idempotency_key": entry.key,
        "raw": orjson.dumps(row.raw).decode(),
        "normalized": orjson.dumps(row.normalized).decode(),
        "occurred_at": row.occurred_at,
    }


async def add_event(uow: UnitOfWork, entry: Entry, row: EventRow) -> bool:
    """False: it was there already."""
    return (await uow.session.execute(_EVENT, _parameters(entry, row))).first() is not None


async def handled(uow: UnitOfWork, entry: Entry, row: EventRow | None = None) -> None:
    """The entry is done, in the transaction of its effects; `row` is kept with it."""
    if row is None:
        await uow.session.execute(_HANDLED, {"id": entry.id})
    else:
        await uow.session.execute(_HANDLED_WITH_EVENT, {"id": entry.id, **_parameters(entry, row)})


_ALL_HANDLED = """
WITH told AS (
    INSERT INTO interaction_events (id, interaction_id, type, provider, provider_event_id, idempotency_key, raw,
                                    normalized, occurred_at)
    SELECT event_id, interaction_id, type, provider, provider_event_id, idempotency_key, raw, normalized, occurred_at
      FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
           event_id uuid, interaction_id uuid, type text, provider text, provider_event_id text, idempotency_key text,
           raw jsonb, normalized jsonb, occurred_at timestamptz)
    ON CONFLICT (idempotency_key) DO NOTHING)
UPDATE webhook_inbox SET handled_at = clock_timestamp(), attempts = attempts + 1, error = NULL WHERE id = ANY(%(ids)s)
"""


async def all_handled(uow: UnitOfWork, entries: Sequence[Entry], rows: Sequence[tuple[Entry, EventRow]]) -> None:
    """The same for many."""
    events = [_parameters(entry, row) | {"raw": row.raw, "normalized": row.normalized} for entry, row in rows]
    asked = {"rows": orjson.dumps(events).decode(), "ids": [entry.id for entry in entries]}
    await (await uow.session.connection()).exec_driver_sql(_ALL_HANDLED, asked)


_REFUSED = sa.text("""
UPDATE webhook_inbox SET attempts = attempts + 1, error = CAST(:error AS jsonb) WHERE id = :id AND handled_at IS NULL
""")


async def refused(uow: UnitOfWork, inbox_id: UUID, code: str, message: str) -> None:
    """The entry stays unhandled, with the reason."""
    error = orjson.dumps({"code": code, "message": message}).decode()
    await uow.session.execute(_REFUSED, {"id": inbox_id, "error": error})
