"""Adding many messages from leads at once: what `posting.post_message` does for one, in one statement for all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from contactship_common.conversations.audience import audience
from contactship_common.conversations.posting import request_analysis
from contactship_common.conversations.shapes import MessageOut
from contactship_common.models.base import new_id
from contactship_common.outbound import events
from contactship_common.uow import Context, UnitOfWork


@dataclass(frozen=True, slots=True)
class FromLead:
    """A message that came in, on behalf of `context`; `row` holds its columns by name, as JSON takes them."""

    conversation_id: UUID
    row: dict[str, Any]
    context: Context


@dataclass(frozen=True, slots=True)
class Added:
    message_id: UUID
    conversation_id: UUID
    lead_id: UUID
    interaction_id: UUID | None


# In the order of their ids, as wherever several are locked: conversations first, then leads.
_LOCK_CONVERSATIONS = """
SELECT id, lead_id FROM conversations WHERE id = ANY(%(ids)s) AND status <> 'CLOSED' ORDER BY id FOR NO KEY UPDATE
"""
_LOCK_LEADS = "SELECT id FROM leads WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE"

_POST = """
WITH told AS (
    SELECT r.*, row_number() OVER (PARTITION BY r.conversation_id ORDER BY r.place) AS nth
      FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
           place int, id uuid, conversation_id uuid, content_text text, content_type text, media_url text,
           provider text, provider_message_id text, sent_at timestamptz)
), c AS (
    UPDATE conversations SET
           last_seq = last_seq + many.n,
           last_message_at = greatest(statement_timestamp(), last_message_at),
           last_message_sender_type = 'LEAD',
           last_lead_seq = last_seq + many.n,
           unread_count = unread_count + many.n,
           updated_at = clock_timestamp()
      FROM (SELECT conversation_id, count(*)::int AS n FROM told GROUP BY conversation_id) AS many
     WHERE conversations.id = many.conversation_id AND status <> 'CLOSED'
 RETURNING id, lead_id, channel, assigned_agent_id, last_seq - many.n AS seq_before, last_message_at
), facts AS (
    UPDATE leads SET facts_changed_at = clock_timestamp() FROM c WHERE leads.id = c.lead_id
), m AS (
    INSERT INTO messages (id, conversation_id, interaction_id, seq, sender_type, content_text, content_type, media_url,
                          status, provider, provider_message_id, sent_at, created_at, updated_at)
    SELECT told.id, c.id,
           (SELECT id FROM interactions WHERE conversation_id = c.id AND status IN ('NEW', 'IN_PROGRESS')),
           c.seq_before + told.nth, 'LEAD', told.content_text, told.content_type, told.media_url, 'DELIVERED',
           told.provider, told.provider_message_id, told.sent_at, c.last_message_at, c.last_message_at
      FROM told JOIN c ON c.id = told.conversation_id
 RETURNING *
)
SELECT m.*, c.channel, c.lead_id, c.assigned_agent_id FROM m JOIN c ON c.id = m.conversation_id
"""


async def lock_open(uow: UnitOfWork, conversation_ids: Sequence[UUID]) -> set[UUID]:
    """Lock these conversations and their leads; returns those that are open."""
    connection = await uow.session.connection()
    rows = (await connection.exec_driver_sql(_LOCK_CONVERSATIONS, {"ids": list(conversation_ids)})).all()
    await connection.exec_driver_sql(_LOCK_LEADS, {"ids": [row.lead_id for row in rows]})
    return {row.id for row in rows}


async def post_from_leads(uow: UnitOfWork, new: Sequence[FromLead]) -> list[Added]:
    """Add the messages to conversations that `lock_open` has locked, tell those who may see them, and have the
    conversations analysed. Returns them in the order of `new`, which is their order in each conversation."""
    ids = [new_id() for _ in new]
    rows = [
        {"place": place, "id": str(ids[place]), "conversation_id": str(one.conversation_id), **one.row}
        for place, one in enumerate(new)
    ]
    connection = await uow.session.connection()
    posted = await connection.exec_driver_sql(_POST, {"rows": json.dumps(rows)})
    found = {row["id"]: row for row in posted.mappings()}
    heard = await events.is_wanted(uow, "message.received")
    added = []
    for message_id, one in zip(ids, new, strict=True):
        row = found[message_id]
        uow.context = one.context
        data = MessageOut.model_validate(row).model_dump(mode="json", by_alias=True)
        told = {"conversationId": str(one.conversation_id), "message": data}
        uow.emit("message:new", told, to=audience(row["assigned_agent_id"]))
        request_analysis(uow, one.conversation_id)
        if heard:
            about = {"conversationId": one.conversation_id, "leadId": row["lead_id"], "channel": row["channel"]}
            await events.publish(uow, "message.received", about | {"message": data})
        added.append(Added(message_id, one.conversation_id, row["lead_id"], row["interaction_id"]))
    return added
