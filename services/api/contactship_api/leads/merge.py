"""Merging two leads that are the same person: the target keeps what it has and gets what it lacks."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.leads import queries
from contactship_api.leads.missing import lead_missing
from contactship_api.leads.schemas import LeadOut
from contactship_common.cache_keys import lead_key
from contactship_common.conversations.audience import EVERYBODY
from contactship_common.conversations.of_leads import lock_with_conversations, move_conversations
from contactship_common.errors import MergeIntoItself, MergeTargetNotFound
from contactship_common.leads import name_sort, search_text
from contactship_common.models import Client, Interaction, Lead, LeadEvent, LeadPhone, MergedLead, Person, SyncJobLead
from contactship_common.tasks import store
from contactship_common.uow import UnitOfWork

_PERSON_GAPS = (
    "phone", "phone_e164", "date_of_birth", "nationality", "gender", "picture_url",
)  # fmt: skip


async def merge(uow: UnitOfWork, who: Principal, source_id: UUID, target_id: UUID) -> tuple[LeadOut, int]:
    """Move everything of the source to the target, fill the target's empty fields, delete the source.

    Returns the target as it is afterwards, and its version.

    Raises:
        LeadNotFound: the source is not there.
        MergeTargetNotFound: the target is not there.
        MergeIntoItself
    """
    if source_id == target_id:
        raise MergeIntoItself
    session = uow.session
    both = (source_id, target_id)
    leads, _ = await lock_with_conversations(session, both, lambda: _lock_both(uow, *both))
    if source_id not in leads:
        raise await lead_missing(session, source_id)
    if target_id not in leads:
        raise MergeTargetNotFound
    source, source_person = leads[source_id]
    target, target_person = leads[target_id]
    await _move_belongings(uow, source_id, target_id)
    gaps = {
        "email": target.email is None and source.email is not None,
        "external_id": target.external_id is None and source.source == target.source,
        "owner_id": target.owner_id is None,
    }
    given = {name: getattr(source, name) for name, empty in gaps.items() if empty and getattr(source, name) is not None}
    await session.flush()
    await session.execute(sa.delete(Lead).where(col(Lead.id) == source_id))
    _fill_person(target_person, source_person)
    await _delete_person_without_lead(uow, source_person.id)
    # After the delete: e-mail and external id are unique, and the source held them until now.
    for name, value in given.items():
        setattr(target, name, value)
    target.meta = {**(source.meta or {}), **(target.meta or {})} or None
    target.search_text = search_text(
        target_person.first_name, target_person.last_name, target.email, target_person.phone
    )
    target.name_sort = name_sort(target_person.first_name, target_person.last_name)
    target.version += 1
    now: Any = sa.func.clock_timestamp()
    target.updated_at = target_person.updated_at = target.facts_changed_at = now
    session.add(LeadEvent(lead_id=target_id, type="merged", actor=uow.context.actor, data={"from": str(source_id)}))
    uow.audit("lead.merge", "lead", target_id, source=str(source_id))
    uow.forget(lead_key(source_id), lead_key(target_id))
    uow.emit("lead:updated", {"leadId": str(source_id), "change": "deleted"}, to=[EVERYBODY])
    uow.emit("lead:updated", {"leadId": str(target_id), "change": "merged"}, to=[EVERYBODY])
    await uow.flush()
    session.expire_all()
    found = await queries.find(session, who, target_id)
    if found is None:
        raise MergeTargetNotFound
    return found


async def _lock_both(uow: UnitOfWork, *ids: UUID) -> dict[UUID, tuple[Lead, Person]]:
    """Both leads, locked in the order of their ids: two opposite merges take turns instead of deadlocking."""
    statement = (
        sa.select(Lead, Person)
        .join(Person, col(Person.id) == col(Lead.person_id))
        .where(col(Lead.id).in_(ids))
        .order_by(col(Lead.id))
        .with_for_update()
    )
    return {row[0].id: (row[0], row[1]) for row in await uow.session.execute(statement)}


async def _move_belongings(uow: UnitOfWork, source_id: UUID, target_id: UUID) -> None:
    """What points at the source points at the target afterwards; features add their tables here."""
    session = uow.session
    await move_conversations(uow, source_id, target_id)
    for table in (LeadEvent, LeadPhone, Client, Interaction):
        moved = sa.update(table).where(col(table.lead_id) == source_id)
        await session.execute(moved.values(lead_id=target_id))
    made_by = sa.select(col(SyncJobLead.job_id), sa.literal(target_id)).where(col(SyncJobLead.lead_id) == source_id)
    await session.execute(insert(SyncJobLead).from_select(["job_id", "lead_id"], made_by).on_conflict_do_nothing())
    uow.task_ended(*await store.cancel_of_subject(session, source_id))
    earlier = sa.update(MergedLead).where(col(MergedLead.into_id) == source_id)
    await session.execute(earlier.values(into_id=target_id))
    session.add(MergedLead(id=source_id, into_id=target_id))


async def _delete_person_without_lead(uow: UnitOfWork, person_id: UUID) -> None:
    others = sa.select(sa.literal(1)).where(col(Lead.person_id) == person_id).exists()
    await uow.session.execute(sa.delete(Person).where(col(Person.id) == person_id, ~others))


def _fill_person(target: Person, source: Person) -> None:
    for name in _PERSON_GAPS:
        if getattr(target, name) is None:
            setattr(target, name, getattr(source, name))
    target.address = {**(source.address or {}), **(target.address or {})} or None
