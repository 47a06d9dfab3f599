"""Taking in rows of meetings: each once, whoever else does the same at this moment."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_api.seeds.rows import SeedRow
from contactship_api.seeds.schemas import Created, Populated, RowProblem, SharedEmail
from contactship_api.seeds.sellers import sellers_by_name
from contactship_common.classification.queueing import queue_unclassified
from contactship_common.clients import contact_search_text, link_clients, touch_leads_of_clients
from contactship_common.lead_csv.headers import plain
from contactship_common.leads import parse_phone
from contactship_common.models import Client, MeetingStatus
from contactship_common.models.base import new_id
from contactship_common.uow import UnitOfWork

# In the order of the keys: two runs over the same rows wait for each other once, and never in a circle.
_CLAIM = sa.text("""
INSERT INTO seeded_meetings (key, meeting_id)
SELECT r.key, r.meeting_id FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(key text, meeting_id uuid) ORDER BY r.key
    ON CONFLICT (key) DO NOTHING RETURNING key
""")

_INSERT_MEETINGS = sa.text("""
INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, transcript, transcript_changed_at)
SELECT r.id, r.client_id, r.seller_id, r.meeting_at, r.status, r.transcript,
       CASE WHEN r.transcript IS NOT NULL THEN clock_timestamp() END
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
       id uuid, client_id uuid, seller_id uuid, meeting_at timestamptz, status text, transcript text)
""")


async def populate(
    uow: UnitOfWork, rows: Sequence[SeedRow], problems: list[RowProblem], *, source: Literal["bundled", "upload"]
) -> Populated:
    """Store the rows that were never stored before, with their clients and sellers, and queue what is unclassified."""
    meeting_ids = await _claim(uow, rows)
    new = list({row.key: row for row in reversed(rows) if row.key in meeting_ids}.values())[::-1]
    sellers, sellers_made = await sellers_by_name(uow, {row.seller for row in new})
    clients, clients_made, shared = await _clients(uow, new)
    await _insert_meetings(
        uow,
        (
            {
                "id": meeting_ids[row.key],
                "client_id": clients[row.key],
                "seller_id": sellers[plain(row.seller) or row.seller],
                "meeting_at": row.meeting_at,
                "status": MeetingStatus.CLOSED if row.closed else MeetingStatus.OPEN,
                "transcript": row.transcript,
            }
            for row in new
        ),
    )
    await touch_leads_of_clients(uow, clients.values())
    created = Created(clients=clients_made, sellers=sellers_made, meetings=len(new))
    queued = await queue_unclassified(uow)
    uow.audit("seed.populate", source=source, **created.model_dump(), errors=len(problems))
    return Populated(
        created=created,
        skipped=len(rows) - len(new),
        errors=problems,
        shared_emails=shared,
        queued=queued.queued,
        total=queued.total,
    )


async def _claim(uow: UnitOfWork, rows: Sequence[SeedRow]) -> dict[str, UUID]:
    """The keys that nobody has taken in yet, each with the id of the meeting to be."""
    wanted = {row.key: new_id() for row in rows}
    given = [{"key": key, "meeting_id": meeting_id} for key, meeting_id in wanted.items()]
    claimed = (await uow.session.execute(_CLAIM, {"rows": _json(given)})).scalars()
    return {key: wanted[key] for key in claimed}


async def _clients(uow: UnitOfWork, rows: Sequence[SeedRow]) -> tuple[dict[str, UUID], int, list[SharedEmail]]:
    """The client of each row by its key, how many were made, and who shares an e-mail with somebody else."""
    first_with = {row.email: row for row in reversed(rows) if row.email is not None}
    made = await _insert_clients(uow, ((email, first_with[email]) for email in sorted(first_with)))
    statement = sa.select(col(Client.email), col(Client.id), col(Client.name)).where(col(Client.email).in_(first_with))
    holders = {email: (client_id, name) for email, client_id, name in await uow.session.execute(statement)}
    found: dict[str, UUID] = {}
    others: dict[tuple[str | None, str, str | None], list[SeedRow]] = {}
    shared: list[SharedEmail] = []
    for row in rows:
        holder_id, holder = holders.get(row.email or "", (None, ""))
        if holder_id is not None and _same_name(holder, row.name):
            found[row.key] = holder_id
            continue
        # Whoever has no e-mail of their own is the same person where name and phone are the same.
        person = (row.email, _name_key(row.name), None if row.email else row.phone)
        if person not in others and row.email is not None:
            shared.append(SharedEmail(row=row.number, email=row.email, client_name=row.name, email_belongs_to=holder))
        others.setdefault(person, []).append(row)
    without_email = await _insert_clients(uow, ((None, same[0]) for same in others.values()))
    for client_id, same in zip(without_email, others.values(), strict=True):
        found.update((row.key, client_id) for row in same)
    await link_clients(uow, [*made, *without_email])
    return found, len(made) + len(without_email), shared


async def _insert_clients(uow: UnitOfWork, people: Iterable[tuple[str | None, SeedRow]]) -> list[UUID]:
    """Make these clients; those whose e-mail is taken stay as they are. Returns the ids of those made, in order."""
    values: list[dict[str, Any]] = [
        {
            "id": new_id(),
            "name": row.name,
            "email": email,
            "phone": row.phone,
            "phone_e164": parse_phone(row.phone),
            "search_text": contact_search_text(row.name, email, row.phone),
            "name_sort": row.name.lower(),
        }
        for email, row in people
    ]
    if not values:
        return []
    statement = insert(Client).on_conflict_do_nothing(index_elements=["email"]).returning(col(Client.id))
    made = set((await uow.session.execute(statement, values)).scalars())
    return [value["id"] for value in values if value["id"] in made]


async def _insert_meetings(uow: UnitOfWork, meetings: Iterable[dict[str, Any]]) -> None:
    await uow.session.execute(_INSERT_MEETINGS, {"rows": _json(list(meetings))})


def _name_key(name: str) -> str:
    return plain(name) or name


def _same_name(one: str, other: str) -> bool:
    """Without accents, case and punctuation."""
    return _name_key(one) == _name_key(other)


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
