"""Many entries of the inbox in one transaction: messages from people, and calls that nothing is known of yet.

That is what comes in thousands. Reports, echoes, later events of a call, and whatever needs a decision (a conversation
that was closed, an interaction with another number) are left to be handled one by one.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from contactship_common.contact_center.events import CallEvent, IncomingMessage, NotUnderstood
from contactship_common.contact_center.new_threads import NewLead, NewThread, make_leads, start_threads
from contactship_common.contact_center.phones import lock_all
from contactship_common.models import Channel, Direction
from contactship_common.tasks.together import Member
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.inbound import messages, new_calls, threads
from contactship_delivery_worker.inbound.entries import Entry, EventRow, all_handled, lock_entries
from contactship_delivery_worker.inbound.messages import NewText
from contactship_delivery_worker.inbound.new_calls import NewCall
from contactship_delivery_worker.inbound.threads import Found
from contactship_delivery_worker.inbound.understanding import understand

Results = dict[UUID, dict[str, Any]]


async def apply_all(uow: UnitOfWork, members: Sequence[Member], region: str) -> Results:
    """The results of those that were handled, by task id."""
    entries = await lock_entries(uow, [member.payload.inbox_id for member in members])
    texts: dict[object, NewText] = {}
    calls: dict[str, NewCall] = {}
    for member in members:
        entry = entries.get(member.payload.inbox_id)
        if entry is None or entry.body is None or entry.handled_at is not None:
            continue
        try:
            understood = understand(entry)
            match understood.event:
                case IncomingMessage() as event:
                    place = messages.place_of(entry, event.said, Direction.INBOUND, name=event.name,
                                              our_number=event.our_number)  # fmt: skip
                    # Of two with the same id the second is found to be known, by itself.
                    key = (entry.told_by, event.said.message_id) if event.said.message_id else entry.id
                    texts.setdefault(key, NewText(member, entry, understood, event, place))
                case CallEvent() as event:
                    call = new_calls.new_call(member, entry, understood, event, region)
                    calls.setdefault(call.lock_key, call)
        except NotUnderstood:
            continue
    if not texts and not calls:
        return {}
    phones = {text.place.phone_e164 for text in texts.values()}
    phones |= {call.phone_e164 for call in calls.values() if call.phone_e164}
    await lock_all(uow, calls=calls, phones=phones)
    unknown_texts = await messages.without_known(uow, list(texts.values()))
    unknown_calls = await new_calls.without_known(uow, list(calls.values()))
    return await _apply(uow, unknown_texts, unknown_calls)


async def _apply(uow: UnitOfWork, texts: Sequence[NewText], calls: Sequence[NewCall]) -> Results:
    places = {(text.place.phone_e164, str(text.place.channel)) for text in texts}
    places |= {(call.phone_e164, "") for call in calls if call.phone_e164}
    found = await threads.look_all(uow, sorted(places))
    leads = await _leads_of_strangers(uow, texts, calls, {phone for phone, _ in found})
    results: Results = {}
    rows: list[tuple[Entry, EventRow]] = []
    placed = await _with_threads(uow, texts, found, leads)
    for text, added in await messages.append_all(uow, placed):
        results[text.member.task.id] = {
            "messageId": str(added.message_id),
            "conversationId": str(added.conversation_id),
            "leadId": str(added.lead_id),
        }
        if added.interaction_id is not None:
            rows.append((text.entry, messages.event_row(added.interaction_id, text)))
    linked: list[tuple[NewCall, UUID | None]] = []
    for call in calls:
        if call.phone_e164 is None:
            linked.append((call, None))
        elif call.phone_e164 in leads:
            linked.append((call, leads[call.phone_e164]))
        elif found[call.phone_e164, ""].answers:
            linked.append((call, found[call.phone_e164, ""].lead_id))
    await new_calls.store_all(uow, linked)
    for call, lead_id in linked:
        results[call.member.task.id] = {
            "interactionId": str(call.interaction_id),
            "leadId": str(lead_id) if lead_id else None,
        }
        rows.append((call.entry, call.event_row()))
    handled = {text.member.task.id: text.entry for text in texts}
    handled |= {call.member.task.id: call.entry for call in calls}
    await all_handled(uow, [handled[task_id] for task_id in results], rows)
    return results


async def _leads_of_strangers(
    uow: UnitOfWork, texts: Sequence[NewText], calls: Sequence[NewCall], known: set[str]
) -> dict[str, UUID]:
    """New leads for the numbers that nobody has; the first who says a name gives it."""
    new: dict[str, NewLead] = {}
    told = [(text.place.phone_e164, text.place.name, text.member.context) for text in texts]
    told += [(call.phone_e164, call.state["customer_name"], call.member.context) for call in calls if call.phone_e164]
    for phone, name, context in told:
        if phone not in known and (phone not in new or (name and not new[phone].name)):
            new[phone] = NewLead(phone, name, context)
    return await make_leads(uow, list(new.values())) if new else {}


async def _with_threads(
    uow: UnitOfWork, texts: Sequence[NewText], found: dict[tuple[str, str], Found], leads: dict[str, UUID]
) -> list[tuple[NewText, UUID]]:
    """Each text with its conversation; without those that need more than to be appended."""
    new: dict[tuple[str, Channel], NewThread] = {}
    for text in texts:
        place = text.place
        if place.phone_e164 in leads:
            thread = NewThread(leads[place.phone_e164], place.phone_e164, place.channel, place.our_number,
                               text.member.context)  # fmt: skip
            new.setdefault((place.phone_e164, place.channel), thread)
    started = dict(zip(new, await start_threads(uow, list(new.values())), strict=True)) if new else {}
    placed = []
    for text in texts:
        place = text.place
        if (begun := started.get((place.phone_e164, place.channel))) is not None:
            placed.append((text, begun.conversation_id))
        elif (there := found[place.phone_e164, str(place.channel)]).thread is not None:
            placed.append((text, there.thread.conversation_id))
    return placed
