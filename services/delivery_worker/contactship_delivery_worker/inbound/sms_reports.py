"""Twilio's word on an SMS that we sent."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.contact_center import delivery_reports
from contactship_common.contact_center.delivery_reports import Report
from contactship_common.contact_center.events import SmsStatus, Understood
from contactship_common.models import Delivery
from contactship_common.tasks.outcomes import Again, GivenUp
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.inbound.entries import Entry, EventRow, handled, refused

WAITS_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""A report can be here before the row it is about: it waits this long, nine minutes in all."""


async def apply_status(
    uow: UnitOfWork, entry: Entry, understood: Understood, event: SmsStatus
) -> dict[str, Any] | Again | GivenUp:
    delivery = await _delivery(uow, entry, event)
    if delivery is None:
        code, message = "delivery_not_found", "Nothing that we sent has this id (yet)"
        await refused(uow, entry.id, code, message)
        if entry.attempts < len(WAITS_SECONDS):
            return Again(code, message, WAITS_SECONDS[entry.attempts])
        return GivenUp(code, message)
    report = Report(event.status, entry.told_by, event.message_id, event.error_code, event.error_message)
    raised = await delivery_reports.apply(uow, delivery.id, report)
    row = None
    if delivery.interaction_id is not None:
        said = {"status": event.status, "deliveryId": str(delivery.id), "errorCode": event.error_code}
        row = EventRow(delivery.interaction_id, event.type, event.message_id, understood.raw, said, None)
    await handled(uow, entry, row)
    return {"deliveryId": str(delivery.id), "raised": raised}


async def _delivery(uow: UnitOfWork, entry: Entry, event: SmsStatus) -> Delivery | None:
    """By the id that our callback URL carried, else by the provider's."""
    ours = _uuid(event.delivery_id)
    if ours is not None and (found := await uow.session.get(Delivery, ours)) is not None:
        return found
    by_id = sa.select(Delivery).where(
        col(Delivery.provider) == entry.told_by, col(Delivery.provider_message_id) == event.message_id
    )
    return (await uow.session.execute(by_id)).scalar_one_or_none()


def _uuid(told: str | None) -> UUID | None:
    try:
        return UUID(told) if told else None
    except ValueError:
        return None
