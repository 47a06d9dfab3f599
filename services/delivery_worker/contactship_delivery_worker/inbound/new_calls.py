"""Calls that nothing is known of yet, many at once: their first event, which often is their only one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from contactship_common.contact_center.events import CallEvent, Understood
from contactship_common.contact_center.interactions import publish_completed
from contactship_common.models import InteractionStatus, Provider
from contactship_common.models.base import new_id
from contactship_common.outbound import events
from contactship_common.tasks.together import Member
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.inbound.call_state import Told, dump, fold, load
from contactship_delivery_worker.inbound.calls import check_number, columns_of, details_of, id_of, lock_key
from contactship_delivery_worker.inbound.entries import Entry, EventRow

_KNOWN = """
SELECT interactions.provider, provider_conversation_id FROM interactions
  JOIN unnest(%(providers)s::text[], %(ids)s::text[]) AS told(provider, id)
    ON interactions.provider = told.provider AND provider_conversation_id = told.id
"""
_STORE_ALL = """
WITH told AS (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
           id uuid, channel text, direction text, status text, started_at timestamptz, ended_at timestamptz,
           from_number text, to_number text, customer_phone text, customer_ref text, queue text, assigned_agent text,
           outcome text, intent text, provider text, provider_conversation_id text, ai_handled boolean, lead_id uuid,
           details jsonb)
), call AS (
    INSERT INTO interactions (id, channel, direction, status, started_at, ended_at, from_number, to_number,
                              customer_phone, customer_ref, queue, assigned_agent, outcome, intent, provider,
                              provider_conversation_id, ai_handled, lead_id)
    SELECT id, channel, direction, status, started_at, ended_at, from_number, to_number, customer_phone, customer_ref,
           queue, assigned_agent, outcome, intent, provider, provider_conversation_id, ai_handled, lead_id
      FROM told
)
INSERT INTO call_details (interaction_id, recording_url, transcript_text, transcript_id, summary, duration_sec,
                          hangup_reason)
SELECT id, details ->> 'recording_url', details ->> 'transcript_text', details ->> 'transcript_id',
       details ->> 'summary', (details ->> 'duration_sec')::int, details ->> 'hangup_reason'
  FROM told WHERE jsonb_typeof(details) = 'object'
"""


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call's event that is handled together with others, if nothing is known about the call yet."""

    member: Member
    entry: Entry
    understood: Understood
    event: CallEvent
    call_id: str
    phone_e164: str | None
    values: dict[str, Any]
    state: dict[str, Any]
    interaction_id: UUID = field(default_factory=new_id)

    @property
    def lock_key(self) -> str:
        return lock_key(self.entry, self.call_id)

    def event_row(self) -> EventRow:
        event = self.event
        return EventRow(
            self.interaction_id, event.type, event.event_id, self.understood.raw, dump(event), event.occurred_at
        )


def new_call(member: Member, entry: Entry, understood: Understood, event: CallEvent, region: str) -> NewCall:
    """
    Raises:
        NotUnderstood
    """
    check_number(event, region)
    state = fold([Told(load(dump(event)), entry.key, entry.received_at)])
    theirs, values = columns_of(state, region)
    return NewCall(member, entry, understood, event, id_of(entry, event), theirs, values, state)


async def without_known(uow: UnitOfWork, calls: Sequence[NewCall]) -> list[NewCall]:
    """Without those about which something is known. All are locked."""
    asked = {"providers": [str(call.entry.told_by) for call in calls], "ids": [call.call_id for call in calls]}
    if not calls:
        return []
    known = {tuple(row) for row in await (await uow.session.connection()).exec_driver_sql(_KNOWN, asked)}
    return [call for call in calls if (str(call.entry.told_by), call.call_id) not in known]


async def store_all(uow: UnitOfWork, linked: Sequence[tuple[NewCall, UUID | None]]) -> None:
    """The interactions of calls that are new, with what is known about them."""
    if not linked:
        return
    rows = [
        {
            **{name: value for name, value in call.values.items() if name != "updated_at"},
            "id": call.interaction_id,
            "provider": str(call.entry.told_by),
            "provider_conversation_id": call.call_id,
            "ai_handled": call.entry.told_by is Provider.ELEVENLABS,
            "lead_id": lead_id,
            "details": details_of(call.state),
        }
        for call, lead_id in linked
    ]
    asked = {"rows": orjson.dumps(rows).decode()}
    await (await uow.session.connection()).exec_driver_sql(_STORE_ALL, asked)
    completed = [call for call, _ in linked if call.values["status"] == InteractionStatus.COMPLETED]
    if completed and await events.is_wanted(uow, "interaction.completed"):
        for call in completed:
            uow.context = call.member.context
            await publish_completed(uow, [call.interaction_id])
