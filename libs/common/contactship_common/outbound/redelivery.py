"""Sending what was sent, or failed, once more: the same delivery with one more attempt, under the same `webhook-id`."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.models import DeliveryStatus, OutboundDelivery
from contactship_common.tasks.catalog import DeliverOutbound
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork

_NOW = sa.text("""
UPDATE tasks SET run_at = now(), published_at = now() WHERE slot = :slot AND status = 'queued' AND run_at > now()
RETURNING id, queue
""")


async def redeliver(uow: UnitOfWork, delivery_id: UUID) -> TaskRef:
    """One more attempt, now. What waits for its next attempt is brought forward; while an attempt waits or is under
    way, asking again gives the same task. The endpoint's row is locked by the caller."""
    task = DeliverOutbound(delivery_id=delivery_id)
    # The task before the delivery, as whoever cancels one takes them.
    sooner = (await uow.session.execute(_NOW, {"slot": task.slot()})).first()
    if sooner is not None:
        ref = TaskRef(id=sooner.id, queue=sooner.queue, slot=task.slot())
        uow.ring(ref)
        return ref
    await uow.session.execute(_pending(col(OutboundDelivery.id) == delivery_id))
    ref = uow.enqueue(task)
    await uow.flush()
    return ref


async def redeliver_failed(uow: UnitOfWork, endpoint_id: UUID, since: datetime) -> int:
    """The same for all that failed of what was published since then, at once; returns how many. The endpoint's row is
    locked by the caller."""
    failed = (
        col(OutboundDelivery.endpoint_id) == endpoint_id,
        col(OutboundDelivery.status) == DeliveryStatus.FAILED,
        col(OutboundDelivery.created_at) >= since,
    )
    made = await uow.enqueue_each(DeliverOutbound, "delivery_id", sa.select(col(OutboundDelivery.id)).where(*failed))
    await uow.session.execute(_pending(*failed))
    return made


def _pending(*which: sa.ColumnElement[bool]) -> sa.Update:
    return (
        sa.update(OutboundDelivery)
        .where(*which, col(OutboundDelivery.status) != DeliveryStatus.PENDING)
        .values(status=DeliveryStatus.PENDING, finished_at=None)
        .execution_options(synchronize_session=False)
    )
