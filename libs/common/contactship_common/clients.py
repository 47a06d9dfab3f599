"""Rules about clients that the gateway and the workers share: how they are searched, and which lead each one is."""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.leads import touch_lead_facts
from contactship_common.models import Client
from contactship_common.uow import UnitOfWork


def contact_search_text(name: str, email: str | None, phone: str | None, company: str | None = None) -> str:
    """The one lower-cased column that searches look in: name, e-mail, company, and the digits of the phone."""
    digits = "".join(c for c in phone or "" if c.isdigit())
    return " ".join(filter(None, (name, email, company, digits))).lower()


# An e-mail says who somebody is; a phone may be shared, so it decides only where no e-mail does.
_LINK_CLIENTS = sa.text("""
    WITH locked AS MATERIALIZED (
        SELECT id, lead_id AS before,
               coalesce((SELECT l.id FROM leads l WHERE l.email = clients.email),
                        (SELECT p.lead_id FROM lead_phones p WHERE p.phone_e164 = clients.phone_e164)) AS after
          FROM clients WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE clients SET lead_id = locked.after, updated_at = clock_timestamp()
      FROM locked WHERE clients.id = locked.id AND locked.before IS DISTINCT FROM locked.after
    RETURNING locked.before, locked.after,
              EXISTS (SELECT FROM meetings WHERE client_id = clients.id) AS has_meetings
""")

# A lead only takes clients in. It never lets one go: those that a merge or an older e-mail brought stay with it.
_LINK_TO_LEADS = sa.text("""
    WITH matches AS (
        SELECT c.id AS client_id, l.id AS lead_id
          FROM leads l JOIN clients c ON c.email = l.email
         WHERE l.id = ANY(:ids)
        UNION ALL
        SELECT c.id, p.lead_id
          FROM lead_phones p JOIN clients c ON c.phone_e164 = p.phone_e164
         WHERE p.lead_id = ANY(:ids) AND c.lead_id IS NULL
           AND NOT EXISTS (SELECT FROM leads l WHERE l.email = c.email)
    ), locked AS MATERIALIZED (
        SELECT c.id, c.lead_id AS before, m.lead_id AS after
          FROM clients c JOIN matches m ON m.client_id = c.id
         WHERE c.lead_id IS DISTINCT FROM m.lead_id
         ORDER BY c.id FOR NO KEY UPDATE OF c
    )
    UPDATE clients SET lead_id = locked.after, updated_at = clock_timestamp()
      FROM locked WHERE clients.id = locked.id
    RETURNING locked.before, locked.after,
              EXISTS (SELECT FROM meetings WHERE client_id = clients.id) AS has_meetings
""")


# A client and a lead who appear at the same moment do not see each other's rows, so both would stay alone. Clients and
# leads with the same e-mail or phone take turns (leads share theirs: they do not look for each other); the later one
# sees what the earlier one has committed. In the order of the keys, so that two of these never wait for each other.
_CLIENTS_TURN = sa.text("""
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended(value, 7205) AS key
          FROM clients CROSS JOIN LATERAL (VALUES (email), (phone_e164)) AS of_client(value)
         WHERE id = ANY(:ids) AND value IS NOT NULL ORDER BY key) AS keys
""")
_LEADS_TURN = sa.text("""
    SELECT pg_advisory_xact_lock_shared(key) FROM (
        SELECT hashtextextended(value, 7205) AS key
          FROM (SELECT email AS value FROM leads WHERE id = ANY(:ids) AND email IS NOT NULL
                UNION SELECT phone_e164 FROM lead_phones WHERE lead_id = ANY(:ids)) AS of_lead ORDER BY key) AS keys
""")
_MOST_IN_TURN = 16
"""Beyond that it is an import, which would hold thousands of locks; whom it misses is found at their next change."""


async def link_clients(uow: UnitOfWork, client_ids: Iterable[UUID]) -> None:
    """Find the lead of each of these clients again: the one with the same e-mail, else the one that answers the same
    phone, else none. For clients that are new or whose e-mail or phone changed; they must be flushed."""
    await _link(uow, _CLIENTS_TURN, _LINK_CLIENTS, client_ids)


async def link_clients_to(uow: UnitOfWork, lead_ids: Iterable[UUID]) -> None:
    """Link the clients that these leads are, by e-mail first, else by phone. For leads that are new or whose e-mail or
    phone changed; they must be flushed. One linking statement, whatever the number of leads."""
    await _link(uow, _LEADS_TURN, _LINK_TO_LEADS, lead_ids)


async def _link(uow: UnitOfWork, turn: sa.TextClause, statement: sa.TextClause, ids: Iterable[UUID]) -> None:
    wanted = list(ids)
    if not wanted:
        return
    if len(wanted) <= _MOST_IN_TURN:
        await uow.session.execute(turn, {"ids": wanted})
    changed = (await uow.session.execute(statement, {"ids": wanted})).all()
    # A client without meetings adds nothing to what the model is told.
    await touch_lead_facts(uow, (lead for row in changed if row.has_meetings for lead in (row.before, row.after)))


async def touch_leads_of_clients(uow: UnitOfWork, client_ids: Iterable[UUID]) -> None:
    """Something was said in a meeting of these clients, or is no longer: the summaries of their leads are stale."""
    linked = sa.select(col(Client.lead_id)).where(col(Client.id).in_(set(client_ids)), col(Client.lead_id).is_not(None))
    wanted = set((await uow.session.execute(linked)).scalars())
    if wanted - await touch_lead_facts(uow, wanted):
        # A merge has just moved them; it has committed by now, because its lock was waited for.
        await touch_lead_facts(uow, (await uow.session.execute(linked)).scalars())
