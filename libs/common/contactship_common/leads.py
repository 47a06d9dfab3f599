"""Rules about leads that the gateway and the workers share: how they are normalised, found and shown to a model."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import phonenumbers
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.cache_keys import lead_key
from contactship_common.models import Lead, LeadPhone, Person
from contactship_common.uow import UnitOfWork

SUMMARY_FACT_FIELDS = frozenset(
    {
        "first_name", "last_name", "phone", "address", "date_of_birth", "nationality", "source", "status", "meta",
    }
)  # fmt: skip
"""What the model is told about a lead; changing one of these makes an existing summary stale."""


def normalise_email(email: str) -> str:
    """The form in which e-mails are stored and compared: no spaces around, lower case."""
    return email.strip().lower()


def parse_phone(text: str | None, region: str | None = None) -> str | None:
    """The number in E.164, or None if the text is not a valid number (without `region`, only `+` numbers are)."""
    if not text:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def search_text(first_name: str, last_name: str, email: str | None, phone: str | None) -> str:
    """The one lower-cased column that searches look in: names, full name, e-mail, and the digits of the phone."""
    digits = "".join(c for c in phone or "" if c.isdigit())
    return " ".join(filter(None, (f"{first_name} {last_name}".strip(), email, digits))).lower()


def name_sort(first_name: str, last_name: str) -> str:
    """What `sort=name` orders by."""
    return f"{last_name} {first_name}".strip().lower()


async def claim_phone(session: AsyncSession, phone_e164: str, lead_id: UUID) -> None:
    """The first lead with a number answers it; a second keeps the number on its person only."""
    row = insert(LeadPhone).values(phone_e164=phone_e164, lead_id=lead_id)
    await session.execute(row.on_conflict_do_nothing())


async def release_phones(session: AsyncSession, lead_ids: Sequence[UUID], *, keep: str | None = None) -> None:
    """These leads no longer answer their numbers (but `keep`); the oldest other lead with the same number does."""
    released = (
        sa.delete(LeadPhone)
        .where(col(LeadPhone.lead_id).in_(lead_ids), col(LeadPhone.phone_e164).is_distinct_from(keep))
        .returning(col(LeadPhone.phone_e164))
    )
    # In one order everywhere, so that two of these never wait for each other.
    for phone in sorted((await session.execute(released)).scalars()):
        next_lead = (
            sa.select(col(Lead.id))
            .join(Person, col(Person.id) == col(Lead.person_id))
            .where(col(Person.phone_e164) == phone, col(Lead.id).not_in(lead_ids))
            .order_by(col(Lead.id))
            .limit(1)
        )
        if (heir := (await session.execute(next_lead)).scalar_one_or_none()) is not None:
            await claim_phone(session, phone, heir)


async def touch_lead_facts(uow: UnitOfWork, lead_ids: Iterable[UUID | None]) -> set[UUID]:
    """What the model is told about these leads has changed without a change of the lead itself (a meeting, say):
    their summaries are no longer fresh. Returns those that were there; None among the ids is passed over."""
    wanted = sorted({lead_id for lead_id in lead_ids if lead_id is not None})
    if not wanted:
        return set()
    # Locked in one order everywhere, so that two of these never wait for each other.
    locked = sa.select(col(Lead.id)).where(col(Lead.id).in_(wanted)).order_by(col(Lead.id))
    found = set((await uow.session.execute(locked.with_for_update(key_share=True))).scalars())
    if found:
        touched = sa.update(Lead).where(col(Lead.id).in_(found)).values(facts_changed_at=sa.func.clock_timestamp())
        await uow.session.execute(touched.execution_options(synchronize_session=False))
        uow.forget(*(lead_key(lead_id) for lead_id in found))
    return found
