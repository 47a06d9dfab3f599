"""The plain case of a new lead in one statement: a fifth of what the same costs as a transaction of several.

Where anything else has to happen (an e-mail that is taken, an owner who is not there, a client to link, an endpoint
that has subscribed), the statement does nothing, and `service.create` does it all.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import structlog
from psycopg import errors as pg
from psycopg.types.json import Jsonb

from contactship_api.leads import queries
from contactship_api.leads.schemas import LeadCreate, LeadOut
from contactship_common.clients import link_clients_to
from contactship_common.db import DATABASE_AWAY
from contactship_common.gathered import Gathered
from contactship_common.leads import name_sort, parse_phone, search_text
from contactship_common.models.base import new_id
from contactship_common.runtime import Runtime
from contactship_common.uow import UnitOfWork, unit_of_work

log = structlog.get_logger()

# The locks are those of `clients._LEADS_TURN`: whoever makes a client with this e-mail or phone just now has the other
# kind of them.
_CREATE = """
WITH given AS (
    SELECT %(id)s::uuid AS id, %(person_id)s::uuid AS person_id, %(email)s::text AS email,
           %(external_id)s::text AS external_id, %(source)s::text AS source, %(status)s::text AS status,
           %(metadata)s::jsonb AS metadata, %(owner_id)s::uuid AS owner_id, %(search_text)s::text AS search_text,
           %(name_sort)s::text AS name_sort, %(phone_e164)s::text AS phone_e164, %(actor)s::text AS actor,
           %(told)s::jsonb AS told
), made AS (
    INSERT INTO leads (id, person_id, email, external_id, source, status, metadata, owner_id, version, search_text,
                       name_sort)
    SELECT id, person_id, email, external_id, source, status, metadata, owner_id, 1, search_text, name_sort FROM given
     WHERE pg_try_advisory_xact_lock_shared(hashtextextended(email, 7205))
       AND (phone_e164 IS NULL OR pg_try_advisory_xact_lock_shared(hashtextextended(phone_e164, 7205)))
       AND NOT EXISTS (SELECT FROM clients c WHERE c.email = given.email)
       AND NOT EXISTS (SELECT FROM clients c WHERE c.phone_e164 = given.phone_e164)
       AND NOT EXISTS (SELECT FROM webhook_endpoints WHERE active AND events @> '["lead.created"]')
       AND (owner_id IS NULL OR EXISTS (SELECT FROM users WHERE id = given.owner_id AND active))
        ON CONFLICT (email) DO NOTHING
 RETURNING id, person_id, metadata, created_at, updated_at
), person AS (
    INSERT INTO persons (id, first_name, last_name, phone, phone_e164, address, date_of_birth, nationality, gender,
                         picture_url)
    SELECT made.person_id, %(first_name)s::text, %(last_name)s::text, %(phone)s::text, given.phone_e164,
           %(address)s::jsonb, %(date_of_birth)s::date, %(nationality)s::text, %(gender)s::text, %(picture_url)s::text
      FROM made, given
), phone AS (
    INSERT INTO lead_phones (phone_e164, lead_id)
    SELECT given.phone_e164, made.id FROM made, given WHERE given.phone_e164 IS NOT NULL
        ON CONFLICT DO NOTHING
), event AS (
    INSERT INTO lead_events (id, lead_id, type, actor, data)
    SELECT %(event_id)s::uuid, made.id, 'created', given.actor, given.told FROM made, given
), act AS (
    INSERT INTO audit_logs (id, actor, action, entity_type, entity_id, ip, user_agent, request_id, data)
    SELECT %(act_id)s::uuid, given.actor, 'lead.create', 'lead', made.id::text, %(ip)s::text, %(user_agent)s::text,
           %(request_id)s::text, given.told
      FROM made, given
)
SELECT metadata, created_at, updated_at FROM made
"""
# Without what only people need: psycopg remembers what it has parsed up to 4,096 bytes.
_STATEMENT = " ".join(_CREATE.split()).encode()

_TO_LINK = b"""
SELECT EXISTS (SELECT FROM leads l JOIN clients c ON c.email = l.email WHERE l.id = ANY(%(ids)s) AND c.lead_id IS NULL)
    OR EXISTS (SELECT FROM lead_phones p JOIN clients c ON c.phone_e164 = p.phone_e164
                WHERE p.lead_id = ANY(%(ids)s) AND c.lead_id IS NULL) AS found
"""

Linking = Gathered[UUID, None]


def linking(runtime: Runtime) -> Linking:
    """Looks once more for clients that are these leads, for many leads at once.

    A client that was committed between the beginning of the lead's statement and its lock was seen by neither: the
    statement sees what was there when it began. This look begins after it.
    """

    async def link(leads: Sequence[UUID]) -> None:
        ids = list(leads)
        try:
            async with runtime.db.fast.connection() as connection:
                row = await (await connection.execute(_TO_LINK, {"ids": ids})).fetchone()
            if row is not None and row["found"]:
                async with unit_of_work(runtime) as uow:
                    await link_clients_to(uow, ids)
        except DATABASE_AWAY as error:
            # The leads are there; a client that came at the same instant is found at its next change.
            log.warning("lead.not_linked", leads=len(ids), error=type(error).__name__)

    return Gathered(link)


async def create_at_once(uow: UnitOfWork, body: LeadCreate, link: Linking) -> tuple[LeadOut, int] | None:
    """The new lead and its version; None, and nothing has happened: this is not the plain case."""
    if not uow.is_untouched:
        return None
    first, last = body.first_name or "", body.last_name or ""
    phone_e164 = parse_phone(body.phone)
    address = {name: value for name, value in body.address.model_dump().items() if value} if body.address else None
    lead_id = new_id()
    lead = {
        "id": lead_id,
        "person_id": new_id(),
        "email": body.email,
        "external_id": body.external_id,
        "source": str(body.source),
        "status": str(body.status),
        "owner_id": body.owner_id,
    }
    person = {
        "first_name": first,
        "last_name": last,
        "phone": body.phone,
        "phone_e164": phone_e164,
        "address": address or None,
        "date_of_birth": body.date_of_birth,
        "nationality": body.nationality,
        "gender": body.gender,
        "picture_url": body.picture_url,
    }
    context = uow.context
    row = await _run(
        uow,
        {
            **lead,
            **person,
            "address": Jsonb(address) if address else None,
            "metadata": Jsonb(body.metadata) if body.metadata is not None else None,
            "search_text": search_text(first, last, body.email, body.phone),
            "name_sort": name_sort(first, last),
            "event_id": new_id(),
            "act_id": new_id(),
            "told": Jsonb({"source": str(body.source)}),
            "actor": context.actor,
            "ip": context.ip,
            "user_agent": context.user_agent,
            "request_id": context.request_id,
        },
    )
    if row is None:
        return None
    await link(lead_id)
    # As the database keeps it, or the ETag would not be that of the next read.
    made = SimpleNamespace(
        **lead,
        meta=row["metadata"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        summary=None,
        next_action=None,
        summary_generated_at=None,
        synced_at=None,
    )
    return queries.shown((made, SimpleNamespace(id=lead["person_id"], **person), None, None)), 1


async def _run(uow: UnitOfWork, parameters: dict[str, Any]) -> dict[str, Any] | None:
    try:
        async with uow.runtime.db.fast.connection() as connection:
            return await (await connection.execute(_STATEMENT, parameters)).fetchone()
    except (pg.IntegrityError, pg.DataError):
        return None  # the long way says which of the values it was
