"""Taking in many leads at once, from sources and files: each e-mail once, whatever else happens at the same time."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
import structlog
from psycopg import errors as pg

from contactship_common.clients import link_clients_to
from contactship_common.leads import name_sort, parse_phone, search_text
from contactship_common.models.base import new_id
from contactship_common.uow import UnitOfWork

log = structlog.get_logger()

_DEADLOCK_TRIES = 3


@dataclass(frozen=True, slots=True)
class NewLead:
    """A lead from outside, validated and normalised: `email` trimmed and lower case, `phone` as text."""

    first_name: str
    last_name: str
    email: str
    source: str
    status: str = "new"
    phone: str | None = None
    address: dict[str, Any] | None = None
    date_of_birth: date | None = None
    nationality: str | None = None
    gender: str | None = None
    picture_url: str | None = None
    external_id: str | None = None
    metadata: dict[str, Any] | None = None
    synced_at: datetime | None = None


@dataclass(slots=True)
class Intake:
    """What became of the given leads, by their positions: `created` names the new lead's id, `skipped` were there
    already (in the table, or earlier in the same call)."""

    created: dict[int, UUID] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)


# One statement: foreign keys are checked at its end, so a lead may name a person that a later part inserts, and persons
# are made only for leads that were really inserted. `ON CONFLICT` waits for a transaction that is inserting the same
# key and then decides. Rows go in one order everywhere, so that two of these never wait for each other.
_TAKE_IN = sa.text("""
    WITH given AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
            position int, lead_id uuid, person_id uuid, event_id uuid, first_name text, last_name text, email text,
            source text, status text, phone text, phone_e164 text, address jsonb, date_of_birth date,
            nationality text, gender text, picture_url text, external_id text, metadata jsonb,
            synced_at timestamptz, search_text text, name_sort text)
    ), made AS (
        INSERT INTO leads (id, person_id, email, external_id, source, status, metadata, synced_at, version,
                           search_text, name_sort)
        SELECT lead_id, person_id, email, external_id, source, status, metadata, synced_at, 1, search_text, name_sort
          FROM given ORDER BY email COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING id
    ), kept AS MATERIALIZED (
        SELECT given.* FROM given JOIN made ON made.id = given.lead_id
    ), people AS (
        INSERT INTO persons (id, first_name, last_name, phone, phone_e164, address, date_of_birth, nationality,
                             gender, picture_url)
        SELECT person_id, first_name, last_name, phone, phone_e164, address, date_of_birth, nationality, gender,
               picture_url
          FROM kept
    ), phones AS (
        INSERT INTO lead_phones (phone_e164, lead_id)
        SELECT DISTINCT ON (phone_e164 COLLATE "C") phone_e164, lead_id
          FROM kept WHERE phone_e164 IS NOT NULL ORDER BY phone_e164 COLLATE "C", position
        ON CONFLICT DO NOTHING
    ), events AS (
        INSERT INTO lead_events (id, lead_id, type, actor, data)
        SELECT event_id, lead_id, :event, :actor, jsonb_build_object('source', source) FROM kept
    )
    SELECT position, lead_id FROM kept
""")


async def take_in(uow: UnitOfWork, leads: Sequence[NewLead], *, event: str, actor: str) -> Intake:
    """Insert those leads whose e-mail and `(source, external_id)` are not there yet, with persons, phones and one
    `lead_events` row (`event`) each. Of several that share one of these, the first is taken. Clients with
    the same e-mail or phone are linked to them.

    One statement, whatever the number of leads (some thousands are best), and one for the clients; rows sorted by
    e-mail, so parallel calls wait for each other but do not deadlock. Where keys cross all the same (an external id
    that moved to another e-mail), the call is repeated within the transaction, three times at most. One call a
    transaction: two break the order.

    Raises:
        sqlalchemy.exc.OperationalError: the deadlock came again each time; run the whole transaction again.
        sqlalchemy.exc.DBAPIError: a lead was not validated (too long, NUL characters, an unknown source).
    """
    # Thousands of phone numbers cost a good part of a second: beside the event loop, or leases are renewed late.
    positions, rows = await asyncio.to_thread(_rows, leads)
    intake = Intake()
    if positions:
        parameters = {"rows": rows, "event": event, "actor": actor}
        intake.created = dict(sorted(await _insert(uow, parameters)))
        await link_clients_to(uow, intake.created.values())
    intake.skipped = [position for position in range(len(leads)) if position not in intake.created]
    return intake


async def _insert(uow: UnitOfWork, parameters: dict[str, str]) -> list[tuple[int, UUID]]:
    tries_left = _DEADLOCK_TRIES
    while True:
        try:
            # The savepoint gives back what this call locked, and only that.
            async with uow.session.begin_nested():
                found = await uow.session.execute(_TAKE_IN, parameters)
                return [(row.position, row.lead_id) for row in found]
        except sa.exc.OperationalError as error:
            tries_left -= 1
            if not isinstance(error.orig, pg.DeadlockDetected) or not tries_left:
                raise
            log.warning("intake.deadlocked", tries_left=tries_left)


def _rows(leads: Sequence[NewLead]) -> tuple[list[int], str]:
    """The positions that are tried, and their rows as one JSON text."""
    positions = list(_first_of_each(leads))
    return positions, orjson.dumps([_row(position, leads[position]) for position in positions]).decode()


def _first_of_each(leads: Sequence[NewLead]) -> Iterator[int]:
    """Positions without those that repeat the e-mail or the external id of an earlier one. The database would notice
    as well, but keep the first by e-mail, not by position."""
    emails: set[str] = set()
    external: set[tuple[str, str]] = set()
    for position, lead in enumerate(leads):
        key = (lead.source, lead.external_id) if lead.external_id is not None else None
        if lead.email in emails or (key is not None and key in external):
            continue
        emails.add(lead.email)
        if key is not None:
            external.add(key)
        yield position


def _row(position: int, lead: NewLead) -> dict[str, Any]:
    return {
        "position": position,
        "lead_id": new_id(),
        "person_id": new_id(),
        "event_id": new_id(),
        "first_name": lead.first_name,
        "last_name": lead.last_name,
        "email": lead.email,
        "source": lead.source,
        "status": lead.status,
        "phone": lead.phone,
        # Without a region only numbers with a plus sign can be parsed; asking about the others costs more than this.
        "phone_e164": parse_phone(lead.phone) if lead.phone and ("+" in lead.phone or "＋" in lead.phone) else None,
        "address": lead.address,
        "date_of_birth": lead.date_of_birth,
        "nationality": lead.nationality,
        "gender": lead.gender,
        "picture_url": lead.picture_url,
        "external_id": lead.external_id,
        "metadata": lead.metadata,
        "synced_at": lead.synced_at,
        "search_text": search_text(lead.first_name, lead.last_name, lead.email, lead.phone),
        "name_sort": name_sort(lead.first_name, lead.last_name),
    }
