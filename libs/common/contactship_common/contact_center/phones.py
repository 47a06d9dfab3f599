"""From a number that a provider names to the lead who has it."""

import json
from collections.abc import Iterable
from uuid import UUID

import phonenumbers
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.conversations.audience import EVERYBODY
from contactship_common.leads import name_sort, parse_phone, search_text
from contactship_common.models import LeadPhone, LeadSource, LeadStatus
from contactship_common.models.base import new_id
from contactship_common.outbound.payloads import publish_lead
from contactship_common.uow import UnitOfWork

_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:phone, 4242))")
_LOCK_CALL = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:call, 4243))")
_LOCK_ALL = """
SELECT count(pg_advisory_xact_lock(hashtextextended(name, space)))
  FROM (SELECT * FROM unnest(%(names)s::text[], %(spaces)s::bigint[]) WITH ORDINALITY AS each(name, space, place)
         ORDER BY place OFFSET 0) AS each
"""
# Each index is walked by itself; of several leads the one with the newest activity.
_LOOK = """
WITH these AS (
    SELECT lead_id AS id FROM lead_phones WHERE phone_e164 = :phone
     UNION
    SELECT leads.id FROM leads JOIN persons ON persons.id = leads.person_id WHERE persons.phone_e164 = :phone)
SELECT leads.id, EXISTS (SELECT 1 FROM lead_phones WHERE phone_e164 = :phone AND lead_id = leads.id) AS answers
  FROM leads WHERE leads.id IN (SELECT id FROM these)
 ORDER BY greatest((SELECT max(activity_at) FROM conversations WHERE lead_id = leads.id), leads.updated_at) DESC,
          leads.id DESC
 LIMIT 1
"""
_FIND = sa.text(_LOOK)
_LEAD = sa.text(f"{_LOOK} FOR KEY SHARE OF leads")
_KEEP = sa.text("SELECT id FROM leads WHERE id = :id FOR KEY SHARE")
_ANSWER = sa.text("""
INSERT INTO lead_phones (phone_e164, lead_id) VALUES (:phone, :lead_id)
    ON CONFLICT (phone_e164) DO UPDATE SET lead_id = excluded.lead_id
""")
# A person, the lead that stands for them, and the number that it answers: one round trip, for many write at once.
_MAKE = sa.text("""
WITH person AS (
    INSERT INTO persons (id, first_name, last_name, phone, phone_e164)
    VALUES (:person_id, :first_name, '', :phone, :phone)
), lead AS (
    INSERT INTO leads (id, person_id, source, status, version, search_text, name_sort)
    VALUES (:lead_id, :person_id, :source, :status, 1, :search_text, :name_sort)
), event AS (
    INSERT INTO lead_events (id, lead_id, type, actor, data)
    VALUES (:event_id, :lead_id, 'created', :actor, CAST(:data AS jsonb))
)
INSERT INTO lead_phones (phone_e164, lead_id) VALUES (:phone, :lead_id)
    ON CONFLICT (phone_e164) DO UPDATE SET lead_id = excluded.lead_id
""").bindparams(sa.bindparam("phone", type_=sa.String))
_LONGEST_NAME = 255
_PEOPLE_HOSTS = ("s.whatsapp.net", "c.us")


def whatsapp_number(text: str | None) -> str | None:
    """The E.164 number of a WhatsApp id: international digits, `5491155551234` or `5491155551234@s.whatsapp.net`.
    Groups, broadcasts and ids that hide the number are none: None."""
    if not text:
        return None
    local, _, host = text.strip().partition("@")
    if host and host not in _PEOPLE_HOSTS:
        return None
    # A linked device adds `:12` to the number.
    digits = local.partition(":")[0].lstrip("+").replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    if len(digits) == 13 and digits.startswith("521"):
        digits = f"52{digits[3:]}"  # WhatsApp still has the old mobile prefix of Mexico
    return provider_number(f"+{digits}")


def is_no_person(text: str) -> bool:
    """A WhatsApp id of a group, a broadcast or a channel."""
    return text.strip().partition("@")[2] in ("g.us", "broadcast", "newsletter")


def provider_number(text: str | None) -> str | None:
    """The E.164 number of `+` digits that a phone network itself names. It exists, so a possible number is enough:
    networks know ranges before the tables do."""
    if not text or not text.startswith("+"):
        return None
    if (valid := parse_phone(text)) is not None:
        return valid
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def called(name: str | None, phone_e164: str) -> str:
    """What a new lead with this number is called."""
    return " ".join((name or "").split())[:_LONGEST_NAME] or phone_e164[-4:]


async def lock_call(uow: UnitOfWork, call_key: str) -> None:
    """Whoever handles something about this call comes one after the other. Before numbers, wherever both are locked."""
    await uow.session.execute(_LOCK_CALL, {"call": call_key})


async def lock_all(uow: UnitOfWork, *, calls: Iterable[str], phones: Iterable[str]) -> None:
    """The same for many, in the one order."""
    names = [*((call, 4243) for call in sorted(calls)), *((phone, 4242) for phone in sorted(phones))]
    asked = {"names": [name for name, _ in names], "spaces": [space for _, space in names]}
    await (await uow.session.connection()).exec_driver_sql(_LOCK_ALL, asked)


async def lock_phone(uow: UnitOfWork, phone_e164: str) -> None:
    """Whoever handles something about this number comes one after the other, until the transaction ends."""
    await uow.session.execute(_LOCK, {"phone": phone_e164})


async def lead_of_phone(uow: UnitOfWork, phone_e164: str, *, name: str | None = None) -> UUID:
    """The lead with this number: of several, the one with the newest activity; else a new lead of source `webhook`,
    called what the provider says, else the last four digits."""
    await lock_phone(uow, phone_e164)
    found = (await uow.session.execute(_LEAD, {"phone": phone_e164})).first()
    lead_id: UUID = found.id if found is not None else await _make_lead(uow, phone_e164, name)
    if found is not None and not found.answers:
        await uow.session.execute(_ANSWER, {"phone": phone_e164, "lead_id": lead_id})
    return lead_id


async def answers(session: AsyncSession, phone_e164: str | None) -> UUID | None:
    """The lead that answers this number now; None: nobody does."""
    statement = sa.select(col(LeadPhone.lead_id)).where(col(LeadPhone.phone_e164) == phone_e164)
    found: UUID | None = (await session.execute(statement)).scalar_one_or_none()
    return found


async def find_lead(uow: UnitOfWork, phone_e164: str, *, name: str | None = None) -> UUID:
    """The same lead, not locked: for who locks its conversation first, as wherever both are locked. Ends with
    `answer`. A new lead is nobody else's yet."""
    await lock_phone(uow, phone_e164)
    found = (await uow.session.execute(_FIND, {"phone": phone_e164})).first()
    return found.id if found is not None else await _make_lead(uow, phone_e164, name)


async def keep_lead(uow: UnitOfWork, lead_id: UUID) -> bool:
    """The lead is neither deleted nor merged until the transaction ends; False: it is gone already."""
    return (await uow.session.execute(_KEEP, {"id": lead_id})).first() is not None


async def answer(uow: UnitOfWork, phone_e164: str, lead_id: UUID) -> None:
    """From now on this lead answers the number. The caller keeps the lead."""
    await uow.session.execute(_ANSWER, {"phone": phone_e164, "lead_id": lead_id})


async def _make_lead(uow: UnitOfWork, phone_e164: str, name: str | None) -> UUID:
    first = called(name, phone_e164)
    source = {"source": LeadSource.WEBHOOK.value}
    lead_id = new_id()
    await uow.session.execute(
        _MAKE,
        {
            "person_id": new_id(),
            "lead_id": lead_id,
            "event_id": new_id(),
            "first_name": first,
            "phone": phone_e164,
            "source": LeadSource.WEBHOOK.value,
            "status": LeadStatus.NEW.value,
            "search_text": search_text(first, "", None, phone_e164),
            "name_sort": name_sort(first, ""),
            "actor": uow.context.actor,
            "data": json.dumps(source),
        },
    )
    uow.audit("lead.create", "lead", lead_id, **source)
    uow.emit("lead:updated", {"leadId": str(lead_id), "change": "created"}, to=[EVERYBODY])
    await publish_lead(uow, "lead.created", lead_id)
    return lead_id
