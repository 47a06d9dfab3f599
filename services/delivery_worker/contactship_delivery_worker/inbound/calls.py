"""What an event says about a call, and what is known about the call with it."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.contact_center.events import CallEvent, NotUnderstood, Understood
from contactship_common.contact_center.interactions import publish_completed
from contactship_common.contact_center.phones import answers, lead_of_phone, lock_call
from contactship_common.leads import parse_phone
from contactship_common.models import (
    CallDetail,
    Direction,
    Interaction,
    InteractionChannel,
    InteractionEvent,
    InteractionStatus,
    Provider,
)
from contactship_common.models.base import new_id
from contactship_common.models.contact_center import ENDED_INTERACTIONS
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.inbound.call_state import Told, dump, fold, load
from contactship_delivery_worker.inbound.entries import Entry, EventRow, add_event, handled

_FEWEST_DIGITS = 7
_LONGEST_ID = 255

# Insert or lock: whoever handles an event of this call comes one after the other.
_LOCK_CALL = sa.text("""
INSERT INTO interactions AS i (id, channel, direction, status, provider, provider_conversation_id, ai_handled,
                               started_at)
VALUES (:id, 'CALL', 'INBOUND', 'NEW', :provider, :call_id, :ai_handled, :started_at)
ON CONFLICT (provider, provider_conversation_id) WHERE provider_conversation_id IS NOT NULL
DO UPDATE SET updated_at = clock_timestamp()
RETURNING i.id, i.status, i.lead_id
""")


async def apply_call(
    uow: UnitOfWork, entry: Entry, understood: Understood, event: CallEvent, region: str
) -> dict[str, Any]:
    """Keep the event, and set the call to what all its events say together.

    Raises:
        NotUnderstood: the customer's number cannot be read without `DEFAULT_REGION`.
    """
    check_number(event, region)  # before anything is written
    call_id = id_of(entry, event)
    await lock_call(uow, lock_key(entry, call_id))
    call = (
        await uow.session.execute(
            _LOCK_CALL,
            {
                "id": new_id(),
                "provider": str(entry.told_by),
                "call_id": call_id,
                "ai_handled": entry.told_by is Provider.ELEVENLABS,
                "started_at": event.started_at or event.occurred_at or entry.received_at,
            },
        )
    ).one()
    row = EventRow(call.id, event.type, event.event_id, understood.raw, dump(event), event.occurred_at)
    if not await add_event(uow, entry, row):
        await handled(uow, entry)
        return {"interactionId": str(call.id), "duplicate": True}
    told = await _told(uow, call.id)
    state = fold(told)
    theirs, values = columns_of(state, region)
    lead_id: UUID | None = call.lead_id
    unknown = lead_id is None
    if before := [one for one in told if one.key != entry.key]:
        thought, known = columns_of(fold(before), region)
        values = _changed(values, known, is_over=call.status in ENDED_INTERACTIONS)
        # Later events may say that somebody else called than the first let think (a call without a direction counts as
        # inbound). Whom a person has linked stays.
        unknown = unknown or (thought not in (None, theirs) and await answers(uow.session, thought) == lead_id)
    if unknown and theirs is not None:
        lead_id = await lead_of_phone(uow, theirs, name=state["customer_name"])
        values["lead_id"] = lead_id
    await _store(uow, call.id, values, state)
    completed = InteractionStatus.COMPLETED
    if values.get("status", call.status) == completed != call.status:
        await publish_completed(uow, [call.id])
    await handled(uow, entry)
    return {"interactionId": str(call.id), "leadId": str(lead_id) if lead_id else None}


def id_of(entry: Entry, event: CallEvent) -> str:
    """The provider's id of the call; without one, each event is a call of its own."""
    return event.call_id or entry.key[:_LONGEST_ID]


def lock_key(entry: Entry, call_id: str) -> str:
    return f"{entry.told_by}:{call_id}"


def check_number(event: CallEvent, region: str) -> None:
    """Ours may be written in any way, and one that no table knows is kept as it came; but without the country of the
    customer's the call would be nobody's for good.

    Raises:
        NotUnderstood: it looks like a national number, and nobody said of which country.
    """
    told = event.to_number if event.direction is Direction.OUTBOUND else event.from_number
    if told is None or region or told.startswith("+") or any(char.isalpha() or char in "@:" for char in told):
        return
    if sum(char.isdigit() for char in told) >= _FEWEST_DIGITS:
        raise NotUnderstood("phone_region_missing", "A number has no country; set DEFAULT_REGION and replay this")


async def _told(uow: UnitOfWork, interaction_id: UUID) -> list[Told]:
    statement = sa.select(
        col(InteractionEvent.normalized), col(InteractionEvent.idempotency_key), col(InteractionEvent.created_at)
    ).where(col(InteractionEvent.interaction_id) == interaction_id)
    return [Told(load(told), key, at) for told, key, at in await uow.session.execute(statement)]


def columns_of(state: dict[str, Any], region: str) -> tuple[str | None, dict[str, Any]]:
    """The customer's number, and the interaction's columns."""
    caller, called = (parse_phone(state[side], region or None) for side in ("from_number", "to_number"))
    theirs = called if state["direction"] is Direction.OUTBOUND else caller
    return theirs, {
        "channel": InteractionChannel.CALL,
        "direction": state["direction"],
        "status": state["status"],
        "started_at": state["started_at"],
        "ended_at": state["ended_at"],
        "from_number": caller or state["from_number"],
        "to_number": called or state["to_number"],
        "customer_phone": theirs,
        "customer_ref": state["customer_ref"],
        "queue": state["queue"],
        "assigned_agent": state["agent"],
        "outcome": state["outcome"],
        "intent": state["intent"],
        "updated_at": sa.func.clock_timestamp(),
    }


def _changed(values: dict[str, Any], before: dict[str, Any], *, is_over: bool) -> dict[str, Any]:
    """What this event adds to those before it: all else stays, because somebody may have corrected it by hand. What
    has ended, by hand too, stays ended."""
    ends = values["status"] in ENDED_INTERACTIONS
    kept = {"status", "ended_at"} if is_over and not ends else set[str]()
    return {
        name: value
        for name, value in values.items()
        if name == "updated_at" or (value != before[name] and name not in kept)
    }


async def _store(uow: UnitOfWork, interaction_id: UUID, values: dict[str, Any], state: dict[str, Any]) -> None:
    await uow.session.execute(sa.update(Interaction).where(col(Interaction.id) == interaction_id).values(values))
    details = details_of(state)
    if details is None:
        return
    row = sa.dialects.postgresql.insert(CallDetail).values(interaction_id=interaction_id, **details)
    # A summary that our own model wrote stays where the provider has none.
    kept = {name: row.excluded[name] for name in details} | {
        "summary": sa.func.coalesce(row.excluded.summary, col(CallDetail.summary)),
        "updated_at": sa.func.clock_timestamp(),
    }
    await uow.session.execute(row.on_conflict_do_update(index_elements=["interaction_id"], set_=kept))


def details_of(state: dict[str, Any]) -> dict[str, Any] | None:
    """What `call_details` holds; None: nothing."""
    details: dict[str, Any] = {
        "recording_url": state["recording_url"],
        "transcript_text": state["transcript"],
        "transcript_id": state["transcript_id"],
        "summary": state["summary"],
        "duration_sec": state["duration_sec"],
        "hangup_reason": state["hangup_reason"],
    }
    return details if any(value is not None for value in details.values()) else None
