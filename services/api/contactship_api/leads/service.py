"""Creating, changing and deleting leads. Person and lead are one transaction."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic.alias_generators import to_camel
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.http.conditional import check_match, etag_of
from contactship_api.leads import queries
from contactship_api.leads.at_once import Linking, create_at_once
from contactship_api.leads.missing import lead_missing
from contactship_api.leads.schemas import LeadCreate, LeadOut, LeadUpdate
from contactship_common.cache_keys import lead_key
from contactship_common.clients import link_clients_to
from contactship_common.conversations.audience import EVERYBODY
from contactship_common.conversations.of_leads import cancel_tasks_of, lock_with_conversations
from contactship_common.errors import LeadEmailTaken, OwnerNotFound
from contactship_common.leads import (
    SUMMARY_FACT_FIELDS,
    claim_phone,
    name_sort,
    parse_phone,
    release_phones,
    search_text,
)
from contactship_common.models import Lead, LeadEvent, Person, User
from contactship_common.models.base import new_id
from contactship_common.outbound.payloads import publish_lead
from contactship_common.tasks import store
from contactship_common.uow import UnitOfWork

_PERSON_FIELDS = (
    "first_name", "last_name", "phone", "address", "date_of_birth", "nationality", "gender", "picture_url",
)  # fmt: skip
_LEAD_FIELDS = ("email", "external_id", "source", "status", "owner_id")


async def create(uow: UnitOfWork, who: Principal, body: LeadCreate, link: Linking) -> tuple[LeadOut, int]:
    """The new lead and its version.

    Raises:
        LeadEmailTaken: another lead has this e-mail, in whatever case; names its id.
        OwnerNotFound: `ownerId` is no active user.
    """
    if (made_at_once := await create_at_once(uow, body, link)) is not None:
        _tell(uow, made_at_once[0].id, "created")
        return made_at_once
    session = uow.session
    await _check_owner(uow, body.owner_id)
    first, last = body.first_name or "", body.last_name or ""
    person = Person(
        first_name=first,
        last_name=last,
        phone=body.phone,
        phone_e164=parse_phone(body.phone),
        address=_address(body.address.model_dump() if body.address else None),
        date_of_birth=body.date_of_birth,
        nationality=body.nationality,
        gender=body.gender,
        picture_url=body.picture_url,
    )
    session.add(person)
    await session.flush()
    lead_id = new_id()
    row = insert(Lead).values(
        id=lead_id,
        person_id=person.id,
        email=body.email,
        external_id=body.external_id,
        source=body.source,
        status=body.status,
        meta=body.metadata,
        owner_id=body.owner_id,
        version=1,
        search_text=search_text(first, last, body.email, body.phone),
        name_sort=name_sort(first, last),
    )
    made = await session.execute(row.on_conflict_do_nothing(index_elements=["email"]).returning(col(Lead.id)))
    if made.first() is None:
        await _refuse_taken(uow, body.email)
    if person.phone_e164:
        await claim_phone(session, person.phone_e164, lead_id)
    await link_clients_to(uow, [lead_id])
    session.add(LeadEvent(lead_id=lead_id, type="created", actor=uow.context.actor, data={"source": body.source}))
    uow.audit("lead.create", "lead", lead_id, source=body.source)
    _tell(uow, lead_id, "created")
    await session.flush()
    await publish_lead(uow, "lead.created", lead_id)
    found = await queries.find(session, who, lead_id)
    if found is None:
        raise await lead_missing(uow.session, lead_id)
    return found


async def update(
    uow: UnitOfWork, who: Principal, lead_id: UUID, body: LeadUpdate, if_match: str | None
) -> tuple[LeadOut, int]:
    """The lead as it is afterwards, and its version. Nothing given, nothing changed: the version stays.

    Raises:
        LeadNotFound, LeadEmailTaken, OwnerNotFound
        PreconditionFailed: `If-Match` names another state.
    """
    session = uow.session
    lead, person = await _lock(uow, lead_id)
    if if_match is not None:
        await _check_match(uow, who, lead_id, if_match)
    given = body.model_dump(exclude_unset=True, exclude={"name"})
    if "metadata" in given:
        given["meta"] = given.pop("metadata")
    if "address" in given:
        given["address"] = _merge_address(person.address, given["address"])
    if "owner_id" in given:
        await _check_owner(uow, given["owner_id"])
    if "email" in given and given["email"] != lead.email:
        await _refuse_taken(uow, given["email"], unless=lead_id)
    before = {"status": lead.status, "owner_id": lead.owner_id}
    changed = _apply(lead, person, given)
    if changed:
        of_person = changed & set(_PERSON_FIELDS)
        touched = [lead, *(await _lock_others(uow, lead) if of_person else [])]
        for each in touched:
            _touch(each, person, facts=bool(changed & SUMMARY_FACT_FIELDS if each is lead else of_person))
            uow.forget(lead_key(each.id))
            _tell(uow, each.id, "updated")
        if of_person:
            person.updated_at = _now()
        session.add_all(_change_events(uow, lead, before))
        uow.audit("lead.update", "lead", lead_id, fields=sorted(changed))
        if "phone" in changed:
            await _change_phone(uow, person, touched)
        await session.flush()
        if changed & {"email", "phone"}:
            await link_clients_to(uow, [each.id for each in touched])
        for each in touched:
            fields = changed if each is lead else of_person
            await publish_lead(uow, "lead.updated", each.id, changedFields=_in_api(fields))
    session.expire_all()
    found = await queries.find(session, who, lead_id)
    if found is None:
        raise await lead_missing(uow.session, lead_id)
    return found


async def delete(uow: UnitOfWork, who: Principal, lead_id: UUID, if_match: str | None) -> None:
    """The lead goes with its conversations, its queued tasks are cancelled, and its person goes with the last lead.

    Raises:
        LeadNotFound
        PreconditionFailed: `If-Match` names another state.
    """
    session = uow.session
    (lead, person), conversations = await lock_with_conversations(session, [lead_id], lambda: _lock(uow, lead_id))
    if if_match is not None:
        await _check_match(uow, who, lead_id, if_match)
    await cancel_tasks_of(uow, conversations)
    uow.task_ended(*await store.cancel_of_subject(session, lead_id))
    await release_phones(session, [lead.id])
    await session.execute(sa.delete(Lead).where(col(Lead.id) == lead.id))
    others = sa.select(sa.literal(1)).where(col(Lead.person_id) == person.id).exists()
    await session.execute(sa.delete(Person).where(col(Person.id) == person.id, ~others))
    uow.audit("lead.delete", "lead", lead_id)
    uow.forget(lead_key(lead_id))
    _tell(uow, lead_id, "deleted")


def _tell(uow: UnitOfWork, lead_id: UUID, change: str) -> None:
    uow.emit("lead:updated", {"leadId": str(lead_id), "change": change}, to=[EVERYBODY])


async def _lock(uow: UnitOfWork, lead_id: UUID) -> tuple[Lead, Person]:
    statement = (
        sa.select(Lead, Person)
        .join(Person, col(Person.id) == col(Lead.person_id))
        .where(col(Lead.id) == lead_id)
        .with_for_update()
    )
    row = (await uow.session.execute(statement)).first()
    if row is None:
        raise await lead_missing(uow.session, lead_id)
    return row[0], row[1]


async def _check_match(uow: UnitOfWork, who: Principal, lead_id: UUID, if_match: str) -> None:
    found = await queries.find(uow.session, who, lead_id)
    if found is None:
        raise await lead_missing(uow.session, lead_id)
    out, version = found
    check_match(if_match, etag_of(version, out.json_bytes()))


async def _check_owner(uow: UnitOfWork, owner_id: UUID | None) -> None:
    if owner_id is None:
        return
    statement = sa.select(col(User.id)).where(col(User.id) == owner_id, col(User.active))
    if (await uow.session.execute(statement)).first() is None:
        raise OwnerNotFound


async def _refuse_taken(uow: UnitOfWork, email: str | None, unless: UUID | None = None) -> None:
    holder = (await uow.session.execute(sa.select(col(Lead.id)).where(col(Lead.email) == email))).scalar_one_or_none()
    if holder is None and unless is None:
        # Whoever held it a moment ago has gone: the client may simply try again.
        raise LeadEmailTaken
    if holder is not None and holder != unless:
        raise LeadEmailTaken(leadId=str(holder))


async def _lock_others(uow: UnitOfWork, lead: Lead) -> list[Lead]:
    """The person's other leads: what changes about a person shows in all of them."""
    others = sa.select(Lead).where(col(Lead.person_id) == lead.person_id, col(Lead.id) != lead.id)
    return list((await uow.session.execute(others.order_by(col(Lead.id)).with_for_update())).scalars())


def _now() -> Any:
    """The database's clock, at the moment of the write: the rows are locked, so later writes have later times."""
    return sa.func.clock_timestamp()


def _touch(lead: Lead, person: Person, *, facts: bool) -> None:
    lead.search_text = search_text(person.first_name, person.last_name, lead.email, person.phone)
    lead.name_sort = name_sort(person.first_name, person.last_name)
    lead.version += 1
    lead.updated_at = _now()
    if facts:
        lead.facts_changed_at = _now()


async def _change_phone(uow: UnitOfWork, person: Person, leads: list[Lead]) -> None:
    before, person.phone_e164 = person.phone_e164, parse_phone(person.phone)
    if before == person.phone_e164:
        return
    await uow.session.flush()
    if before:
        await release_phones(uow.session, [lead.id for lead in leads], keep=person.phone_e164)
    if person.phone_e164:
        await claim_phone(uow.session, person.phone_e164, leads[0].id)


def _address(parts: dict[str, Any] | None) -> dict[str, Any] | None:
    kept = {name: value for name, value in (parts or {}).items() if value is not None}
    return kept or None


def _merge_address(old: dict[str, Any] | None, given: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if given is None else _address({**(old or {}), **given})


def _apply(lead: Lead, person: Person, given: dict[str, Any]) -> set[str]:
    """Set what differs; returns the names of what changed."""
    changed: set[str] = set()
    for name, value in given.items():
        target: Any = person if name in _PERSON_FIELDS else lead
        if getattr(target, name) != value:
            setattr(target, name, value)
            changed.add(name)
    return changed


def _change_events(uow: UnitOfWork, lead: Lead, before: dict[str, Any]) -> list[LeadEvent]:
    events = []
    for name in ("status", "owner_id"):
        after = getattr(lead, name)
        if after != before[name]:
            data = {"from": _text(before[name]), "to": _text(after)}
            kind = f"{name.removesuffix('_id')}_changed"
            events.append(LeadEvent(lead_id=lead.id, type=kind, actor=uow.context.actor, data=data))
    return events


def _in_api(fields: set[str]) -> list[str]:
    """Names of columns as the API calls them."""
    return sorted("metadata" if name == "meta" else to_camel(name) for name in fields)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
