"""What becomes of a sending: the vendor's answer, its reports, or its silence. Reports only ever raise a delivery, in
whatever order they come; first times are kept."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.contact_center.delivery_effects import follow, keep_id, take_turn
from contactship_common.masking import mask_pii
from contactship_common.models import Delivery, DeliveryState, Provider
from contactship_common.uow import UnitOfWork

RANKS = {
    "accepted": 1, "scheduled": 1, "queued": 2, "sending": 3, "sent": 4,
    "delivered": 5, "undelivered": 5, "failed": 5, "canceled": 5, "read": 6,
}  # fmt: skip
"""Twilio's words, which the other providers' are translated to; a report counts if its rank is higher."""

UNKNOWN = "unknown"
"""The code of a sending whose answer was lost."""

_STATES = {
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "undelivered": DeliveryState.FAILED,
    "failed": DeliveryState.FAILED,
    "canceled": DeliveryState.FAILED,
}
_UNDER_WAY = (DeliveryState.PENDING, DeliveryState.SENDING)
_NOW: Any = sa.func.clock_timestamp()


@dataclass(frozen=True, slots=True)
class Report:
    """One word of a vendor about one sending. Numbers in `error_message` are masked before it is stored."""

    status: str
    provider: Provider
    provider_message_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


async def apply(uow: UnitOfWork, delivery_id: UUID, report: Report) -> bool:
    """Raise the delivery, and with it its message or code. False: nothing new (an old or repeated report, or a word
    that is not in `RANKS`), or no such delivery."""
    rank = RANKS.get(report.status)
    if rank is None or not await take_turn(uow, delivery_id):
        return False
    if report.provider_message_id:
        # Also of a report that says nothing new: the first to know the id may be the slowest.
        await keep_id(uow, delivery_id, report.provider, report.provider_message_id)
    raised = sa.update(Delivery).where(col(Delivery.id) == delivery_id, col(Delivery.provider_rank) < rank)
    return await _change(uow, raised, _raised(report, rank))


def _raised(report: Report, rank: int) -> dict[str, Any]:
    state = _STATES.get(report.status, DeliveryState.SENT)
    values: dict[str, Any] = {
        "provider": report.provider,
        "provider_status": report.status,
        "provider_rank": rank,
        "state": state,
    }
    if state is DeliveryState.FAILED:
        code, message = report.error_code or report.status, mask_pii(report.error_message or "")
        return values | _failure(code, message or f"The provider says: {report.status}")
    values |= {"error_code": None, "error_message": None, "failed_at": None}
    values["sent_at"] = sa.func.coalesce(col(Delivery.sent_at), _NOW)
    if state in (DeliveryState.DELIVERED, DeliveryState.READ):
        values["delivered_at"] = sa.func.coalesce(col(Delivery.delivered_at), _NOW)
    if state is DeliveryState.READ:
        values["read_at"] = sa.func.coalesce(col(Delivery.read_at), _NOW)
    return values


async def answer_lost(uow: UnitOfWork, delivery_id: UUID) -> bool:
    """The request left and nobody knows what became of it: for now the delivery stays SENDING, and no run sends it
    again. False: a report has said by now what became of it."""
    lost = (
        sa.update(Delivery)
        .where(col(Delivery.id) == delivery_id, col(Delivery.provider_rank) == 0)
        .where(col(Delivery.state).in_(_UNDER_WAY))
        .values(state=DeliveryState.SENDING, error_code=UNKNOWN, updated_at=_NOW)
        .returning(col(Delivery.id))
    )
    return (await uow.session.execute(lost)).first() is not None


async def settle_unknown(uow: UnitOfWork, delivery_id: UUID) -> bool:
    """Nobody has said what became of it: it shows as FAILED `unknown` and can be sent again by hand. A report that
    comes later still counts. False: it is known by now."""
    values = _failure(UNKNOWN, "The provider's answer was lost; it may have been sent")
    return await _end(uow, delivery_id, values | {"state": DeliveryState.UNKNOWN})


async def fail(uow: UnitOfWork, delivery_id: UUID, code: str, message: str) -> bool:
    """It was not sent, for good. False: a report says otherwise, or it has ended already."""
    return await _end(uow, delivery_id, _failure(code, message) | {"state": DeliveryState.FAILED})


def _failure(code: str, message: str) -> dict[str, Any]:
    failed_at = sa.func.coalesce(col(Delivery.failed_at), _NOW)
    return {"error_code": code[:64], "error_message": message[:500], "failed_at": failed_at}


async def _end(uow: UnitOfWork, delivery_id: UUID, values: dict[str, Any]) -> bool:
    if not await take_turn(uow, delivery_id):
        return False
    ended = (
        sa.update(Delivery)
        .where(col(Delivery.id) == delivery_id, col(Delivery.provider_rank) == 0)
        .where(col(Delivery.state).in_(_UNDER_WAY))
    )
    return await _change(uow, ended, values)


async def _change(uow: UnitOfWork, statement: sa.Update, values: dict[str, Any]) -> bool:
    changed = statement.values(**values, updated_at=_NOW).returning(Delivery)
    rows = await uow.session.execute(changed.execution_options(populate_existing=True))
    delivery = rows.scalar_one_or_none()
    if delivery is None:
        return False
    await follow(uow, delivery)
    return True
