"""Messages to receivers: written with the event that causes them, sent by the delivery worker."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlmodel import col

from contactship_common.models import DeliveryStatus, OutboundAttempt, OutboundDelivery
from contactship_common.models.base import new_id
from contactship_common.tasks.catalog import DeliverOutbound
from contactship_common.uow import UnitOfWork

UNKNOWN = "unknown"
"""Error of an attempt whose worker died, or stopped, before it could say how the attempt went."""


def frozen(event_type: str, data: dict[str, Any]) -> str:
    """The body of a message: every attempt sends and signs exactly this text."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"type": event_type, "timestamp": now, "data": data}
    return orjson.dumps(told, option=orjson.OPT_UTC_Z).decode()


def message_id(delivery_id: UUID) -> str:
    """`webhook-id`: the same in every attempt, so that receivers know what they have seen."""
    return f"msg_{delivery_id.hex}"


def publish(
    uow: UnitOfWork,
    *,
    url: str,
    event_type: str,
    body: str,
    task_id: UUID | None = None,
    endpoint_id: UUID | None = None,
) -> UUID:
    """Have this body (see `frozen`) delivered once this transaction has committed; returns the delivery's id."""
    delivery = OutboundDelivery(
        id=new_id(), url=url, event_type=event_type, payload=body, task_id=task_id, endpoint_id=endpoint_id
    )
    uow.session.add(delivery)
    uow.enqueue(DeliverOutbound(delivery_id=delivery.id))
    return delivery.id


async def give_up(uow: UnitOfWork, delivery_id: UUID) -> None:
    """The delivery has failed for good; one that succeeded meanwhile stays so."""
    session = uow.session
    await session.execute(
        sa.update(OutboundDelivery)
        .where(col(OutboundDelivery.id) == delivery_id, col(OutboundDelivery.status) == DeliveryStatus.PENDING)
        .values(status=DeliveryStatus.FAILED, finished_at=sa.func.now())
    )
    await session.execute(settle_open_attempts(delivery_id))


def settle_open_attempts(delivery_id: UUID) -> sa.Update:
    """Attempts that nobody will hear of again end as `unknown`."""
    return (
        sa.update(OutboundAttempt)
        .where(
            col(OutboundAttempt.delivery_id) == delivery_id,
            col(OutboundAttempt.duration_ms).is_(None),
            col(OutboundAttempt.error).is_(None),
        )
        .values(error=UNKNOWN)
    )
