"""New leads, conversations and interactions for many numbers that nobody has: each table in one statement for all.

The caller has locked the numbers and looked that no lead has them. `phones.lead_of_phone` does the same for one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from contactship_common.contact_center.interactions import CHANNEL_OF, PROVIDER_OF
from contactship_common.contact_center.phones import called
from contactship_common.conversations.audience import EVERYBODY
from contactship_common.leads import name_sort, search_text
from contactship_common.models import Channel, Direction, LeadSource
from contactship_common.models.base import new_id
from contactship_common.outbound import events
from contactship_common.outbound.payloads import publish_lead
from contactship_common.uow import Context, UnitOfWork

_LEADS = """
WITH new AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
           person_id uuid, lead_id uuid, event_id uuid, phone text, first_name text, search_text text, name_sort text,
           actor text)
), person AS (
    INSERT INTO persons (id, first_name, last_name, phone, phone_e164)
    SELECT person_id, first_name, '', phone, phone FROM new
), lead AS (
    INSERT INTO leads (id, person_id, source, status, version, search_text, name_sort)
    SELECT lead_id, person_id, 'webhook', 'new', 1, search_text, name_sort FROM new
), event AS (
    INSERT INTO lead_events (id, lead_id, type, actor, data)
    SELECT event_id, lead_id, 'created', actor, '{"source": "webhook"}' FROM new
)
INSERT INTO lead_phones (phone_e164, lead_id) SELECT phone, lead_id FROM new ORDER BY phone
    ON CONFLICT (phone_e164) DO UPDATE SET lead_id = excluded.lead_id
"""
_THREADS = """
WITH new AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
           conversation_id uuid, interaction_id uuid, lead_id uuid, conversation_channel text, channel text,
           direction text, provider text, phone text, our_number text)
), conversation AS (
    INSERT INTO conversations (id, lead_id, channel, status, last_seq, last_lead_seq, last_agent_seq, unread_count,
                               analysed_up_to, ai_tags)
    SELECT conversation_id, lead_id, conversation_channel, 'OPEN', 0, 0, 0, 0, 0, '{}' FROM new
)
INSERT INTO interactions (id, channel, direction, status, from_number, to_number, customer_phone, ai_handled, provider,
                          lead_id, conversation_id)
SELECT interaction_id, channel, direction, 'IN_PROGRESS', phone, our_number, phone, false, provider, lead_id,
       conversation_id
  FROM new
"""


@dataclass(frozen=True, slots=True)
class NewLead:
    phone_e164: str
    name: str | None
    context: Context


@dataclass(frozen=True, slots=True)
class NewThread:
    """Of a new lead, which has no owner yet; begun by a message from them."""

    lead_id: UUID
    phone_e164: str
    channel: Channel
    our_number: str | None
    context: Context


@dataclass(frozen=True, slots=True)
class Started:
    lead_id: UUID
    conversation_id: UUID
    interaction_id: UUID


async def make_leads(uow: UnitOfWork, new: Sequence[NewLead]) -> dict[str, UUID]:
    """The leads of source `webhook`, by number; each called what its provider says, else the last four digits."""
    ids = {each.phone_e164: new_id() for each in new}
    rows = []
    for each in new:
        first = called(each.name, each.phone_e164)
        rows.append(
            {
                "person_id": str(new_id()),
                "lead_id": str(ids[each.phone_e164]),
                "event_id": str(new_id()),
                "phone": each.phone_e164,
                "first_name": first,
                "search_text": search_text(first, "", None, each.phone_e164),
                "name_sort": name_sort(first, ""),
                "actor": each.context.actor,
            }
        )
    await (await uow.session.connection()).exec_driver_sql(_LEADS, {"rows": json.dumps(rows)})
    wanted = await events.is_wanted(uow, "lead.created")
    for each in new:
        uow.context = each.context
        lead_id = ids[each.phone_e164]
        uow.audit("lead.create", "lead", lead_id, source=LeadSource.WEBHOOK.value)
        uow.emit("lead:updated", {"leadId": str(lead_id), "change": "created"}, to=[EVERYBODY])
        if wanted:
            await publish_lead(uow, "lead.created", lead_id)
    return ids


async def start_threads(uow: UnitOfWork, new: Sequence[NewThread]) -> list[Started]:
    """Each lead's conversation with its running interaction, in the order of `new`."""
    started, rows = [], []
    for each in new:
        one = Started(each.lead_id, new_id(), new_id())
        started.append(one)
        rows.append(
            {
                "conversation_id": str(one.conversation_id),
                "interaction_id": str(one.interaction_id),
                "lead_id": str(one.lead_id),
                "conversation_channel": str(each.channel),
                "channel": str(CHANNEL_OF[each.channel]),
                "direction": str(Direction.INBOUND),
                "provider": str(PROVIDER_OF[each.channel]),
                "phone": each.phone_e164,
                "our_number": each.our_number,
            }
        )
        uow.context = each.context
        uow.audit("conversation.open", "conversation", one.conversation_id, channel=str(each.channel))
    await (await uow.session.connection()).exec_driver_sql(_THREADS, {"rows": json.dumps(rows)})
    return started
