"""Where a message belongs: the open conversation of the lead with its number, and its running interaction."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.contact_center.phones import answer, find_lead, keep_lead, lock_phone
from contactship_common.contact_center.sending import turn_to
from contactship_common.conversations.opening import open_conversation
from contactship_common.models import Channel, Conversation, ConversationStatus, Direction
from contactship_common.uow import UnitOfWork

_ROUNDS = 5

# One look for what nearly every message finds: its lead (of several, the one with the newest activity), conversation
# and interaction.
_LOOKING = """
WITH these AS (
    SELECT lead_id AS id FROM lead_phones WHERE phone_e164 = :phone
     UNION
    SELECT leads.id FROM leads JOIN persons ON persons.id = leads.person_id WHERE persons.phone_e164 = :phone)
SELECT leads.id AS lead_id, conversations.id AS conversation_id, interactions.id AS interaction_id,
       EXISTS (SELECT 1 FROM lead_phones WHERE phone_e164 = :phone AND lead_id = leads.id) AS answers
  FROM leads
  LEFT JOIN conversations ON conversations.lead_id = leads.id AND conversations.channel = :channel
                         AND conversations.status IN ('OPEN', 'PENDING')
  LEFT JOIN interactions ON interactions.conversation_id = conversations.id
                        AND interactions.status IN ('NEW', 'IN_PROGRESS') AND interactions.customer_phone = :phone
 WHERE leads.id IN (SELECT id FROM these)
 ORDER BY greatest((SELECT max(activity_at) FROM conversations WHERE lead_id = leads.id), leads.updated_at) DESC,
          leads.id DESC
 LIMIT 1
"""
_LOOK = sa.text(_LOOKING)
_LOOK_ALL = f"""
SELECT place.phone, place.channel, found.*
  FROM unnest(%(phones)s::text[], %(channels)s::text[]) AS place(phone, channel)
 CROSS JOIN LATERAL ({_LOOKING.replace(":phone", "place.phone").replace(":channel", "place.channel")}) AS found
"""  # noqa: S608  # all constants


@dataclass(frozen=True, slots=True)
class Place:
    """Whom a message is from or to, and through which of our numbers."""

    phone_e164: str
    channel: Channel
    direction: Direction
    name: str | None = None
    our_number: str | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    lead_id: UUID
    conversation_id: UUID
    interaction_id: UUID


@dataclass(frozen=True, slots=True)
class Found:
    """The lead with a number. `answers`: the number leads to it already; `thread`: nothing has to be made."""

    lead_id: UUID
    answers: bool
    thread: Thread | None


async def look_all(uow: UnitOfWork, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Found]:
    """What there is at these numbers and channels, by both; nothing where no lead has the number."""
    asked = {"phones": [phone for phone, _ in places], "channels": [channel for _, channel in places]}
    rows = await (await uow.session.connection()).exec_driver_sql(_LOOK_ALL, asked)
    found = {}
    for row in rows:
        thread = None
        if row.answers and row.interaction_id is not None:
            thread = Thread(row.lead_id, row.conversation_id, row.interaction_id)
        found[row.phone, row.channel] = Found(row.lead_id, row.answers, thread)
    return found


async def threads(uow: UnitOfWork, place: Place) -> AsyncIterator[Thread]:
    """The thread; a second one if the first is closed before anything is added to it, and so on. Whatever is missing
    is made. The number is locked from now on."""
    await lock_phone(uow, place.phone_e164)
    for _ in range(_ROUNDS):
        thread = await _look(uow, place) or await _make(uow, place)
        if thread is not None:
            yield thread


async def _look(uow: UnitOfWork, place: Place) -> Thread | None:
    """No row is locked here: posting locks the conversation first, as everybody does."""
    found = (await uow.session.execute(_LOOK, {"phone": place.phone_e164, "channel": str(place.channel)})).first()
    if found is None or found.interaction_id is None or not found.answers:
        return None
    return Thread(found.lead_id, found.conversation_id, found.interaction_id)


async def _make(uow: UnitOfWork, place: Place) -> Thread | None:
    """None: the lead was deleted or merged at this very moment.

    Conversations are locked before their leads, by who deletes or merges a lead, too: the other way round both would
    wait for each other.
    """
    lead_id = await find_lead(uow, place.phone_e164, name=place.name)
    conversation_id = await _open_of(uow, lead_id, place.channel)
    if conversation_id is None:
        if not await keep_lead(uow, lead_id):
            return None
        conversation_id, _ = await open_conversation(uow, lead_id, place.channel)
    locked = sa.select(col(Conversation.lead_id)).where(col(Conversation.id) == conversation_id)
    whose = (await uow.session.execute(locked.with_for_update(key_share=True))).scalar_one_or_none()
    if whose != lead_id or not await keep_lead(uow, lead_id):
        return None
    # Answers go to the number that the person wrote from last.
    await answer(uow, place.phone_e164, lead_id)
    interaction_id = await turn_to(
        uow,
        conversation_id,
        channel=place.channel,
        lead_id=lead_id,
        number=place.phone_e164,
        direction=place.direction,
        our_number=place.our_number,
    )
    return Thread(lead_id, conversation_id, interaction_id)


async def _open_of(uow: UnitOfWork, lead_id: UUID, channel: Channel) -> UUID | None:
    statement = sa.select(col(Conversation.id)).where(
        col(Conversation.lead_id) == lead_id,
        col(Conversation.channel) == channel,
        col(Conversation.status) != ConversationStatus.CLOSED,
    )
    found: UUID | None = (await uow.session.execute(statement)).scalar_one_or_none()
    return found
