"""Creating, changing and deleting clients."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.clients import queries
from contactship_api.clients.schemas import ClientCreate, ClientOut, ClientUpdate
from contactship_api.http.conditional import check_match, etag_of, version_at
from contactship_common.clients import contact_search_text, link_clients, touch_leads_of_clients
from contactship_common.errors import ClientEmailTaken, ClientHasMeetings, ClientNotFound
from contactship_common.leads import parse_phone
from contactship_common.models import Client, Meeting, Task, TaskStatus
from contactship_common.models.base import new_id
from contactship_common.outbound import callbacks
from contactship_common.tasks import store
from contactship_common.uow import UnitOfWork


async def create(uow: UnitOfWork, who: Principal, body: ClientCreate) -> ClientOut:
    """
    Raises:
        ClientEmailTaken: another client has this e-mail; names its id.
    """
    client_id = new_id()
    row = insert(Client).values(id=client_id, **body.model_dump(), **_derived(body))
    made = await uow.session.execute(row.on_conflict_do_nothing(index_elements=["email"]).returning(col(Client.id)))
    if made.first() is None:
        raise await _taken(uow, body.email)
    await link_clients(uow, [client_id])
    uow.audit("client.create", "client", client_id)
    return await _shown(uow, who, client_id)


async def update(
    uow: UnitOfWork, who: Principal, client_id: UUID, body: ClientUpdate, if_match: str | None
) -> ClientOut:
    """The client as it is afterwards. Nothing new, nothing changed: the ETag stays.

    Raises:
        ClientNotFound, ClientEmailTaken
        PreconditionFailed: `If-Match` names another state.
    """
    client = await _lock(uow, client_id, if_match)
    given = body.model_dump(exclude_unset=True)
    changed = {name for name, value in given.items() if getattr(client, name) != value}
    if not changed:
        return ClientOut.model_validate(client)
    if "email" in changed and given["email"] is not None and (holder := await _holder(uow, given["email"])):
        raise ClientEmailTaken(clientId=str(holder))
    for name in changed:
        setattr(client, name, given[name])
    for name, value in _derived(client).items():
        setattr(client, name, value)
    now: Any = sa.func.clock_timestamp()
    client.updated_at = now
    await uow.session.flush()
    if changed & {"email", "phone"}:
        await link_clients(uow, [client_id])
    uow.audit("client.update", "client", client_id, fields=sorted(changed))
    return await _shown(uow, who, client_id)


async def delete(uow: UnitOfWork, client_id: UUID, *, cascade: bool, if_match: str | None) -> None:
    """The client goes; with `cascade` their meetings go as well, and what is queued about those is cancelled.

    Raises:
        ClientNotFound
        ClientHasMeetings: and `cascade` is not given; says how many.
        PreconditionFailed: `If-Match` names another state.
    """
    of_client = sa.select(col(Meeting.id)).where(col(Meeting.client_id) == client_id)
    if cascade:
        # Meetings, the lead, the client: the order of whoever stores a classification, and of whoever changes or
        # deletes the lead. They take turns.
        await uow.session.execute(of_client.order_by(col(Meeting.id)).with_for_update())
        await touch_leads_of_clients(uow, [client_id])
    await _lock(uow, client_id, if_match)
    # No meeting can be added meanwhile: it would have to share the client's lock.
    counted = sa.select(sa.func.count()).select_from(of_client.subquery())
    meetings = int((await uow.session.execute(counted)).scalar_one())
    if meetings and not cascade:
        raise ClientHasMeetings(meetings=meetings)
    if meetings:
        queued = sa.select(col(Task.id)).where(
            col(Task.subject_id).in_(of_client), col(Task.status) == TaskStatus.QUEUED
        )
        task_ids = list((await uow.session.execute(queued)).scalars())
        cancelled = await store.cancel(uow.session, task_ids)
        uow.task_ended(*cancelled)
        await callbacks.publish(uow, cancelled)
    await uow.session.execute(sa.delete(Client).where(col(Client.id) == client_id))
    uow.audit("client.delete", "client", client_id, meetings=meetings)


def _derived(client: Client | ClientCreate) -> dict[str, Any]:
    """Columns that follow from the others."""
    return {
        "phone_e164": parse_phone(client.phone),
        "search_text": contact_search_text(client.name, client.email, client.phone, client.company),
        "name_sort": client.name.lower(),
    }


async def _lock(uow: UnitOfWork, client_id: UUID, if_match: str | None) -> Client:
    client = await uow.session.get(Client, client_id, with_for_update=True)
    if client is None:
        raise ClientNotFound
    out = ClientOut.model_validate(client)
    check_match(if_match, etag_of(version_at(out.updated_at), out.json_bytes()))
    return client


async def _shown(uow: UnitOfWork, who: Principal, client_id: UUID) -> ClientOut:
    uow.session.expire_all()
    found = await queries.find(uow.session, who, client_id)
    if found is None:
        raise ClientNotFound
    return ClientOut.model_validate(found)


async def _holder(uow: UnitOfWork, email: str | None) -> UUID | None:
    holding = sa.select(col(Client.id)).where(col(Client.email) == email)
    return (await uow.session.execute(holding)).scalar_one_or_none()


async def _taken(uow: UnitOfWork, email: str | None) -> ClientEmailTaken:
    holder = await _holder(uow, email)
    # Whoever held it a moment ago may have gone: then the client may simply try again.
    return ClientEmailTaken(clientId=str(holder)) if holder else ClientEmailTaken()
