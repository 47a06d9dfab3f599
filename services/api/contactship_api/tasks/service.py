"""Cancelling and retrying tasks."""

from uuid import UUID

from contactship_api.access.permissions import Principal, Scope
from contactship_api.tasks import queries
from contactship_common import sync_jobs
from contactship_common.contact_center import delivery_reports
from contactship_common.errors import Forbidden, TaskNotCancellable, TaskNotFound, TaskNotRetryable
from contactship_common.models import Task, TaskStatus
from contactship_common.outbound import callbacks, deliveries
from contactship_common.tasks import store
from contactship_common.tasks.catalog import (
    KINDS,
    DeliverOutbound,
    SendDelivery,
    SettleDelivery,
    SyncApply,
    SyncFetch,
)
from contactship_common.tasks.settle import tell_ended
from contactship_common.uow import UnitOfWork

_OF_SYNC_JOBS = (SyncFetch.KIND, SyncApply.KIND)
_OF_SENDINGS = (SendDelivery.KIND, SettleDelivery.KIND)


async def _own(uow: UnitOfWork, who: Principal, task_id: UUID) -> Task:
    """The task, if the caller may act on it: what they asked for themselves, and for administrators every task."""
    task = await queries.find(uow.session, who, task_id)
    if task is None:
        raise TaskNotFound
    if task.requested_by != who.actor and not who.may(Scope.ADMIN):
        raise Forbidden("Only whoever asked for a task, or an administrator, may change it")
    return task


def _forget_progress(uow: UnitOfWork, task: Task) -> None:
    kind = KINDS.get(task.kind)
    if kind is not None:
        uow.forget(*kind.model_validate(task.payload).cache_keys())


async def cancel(uow: UnitOfWork, who: Principal, task_id: UUID) -> None:
    """
    Raises:
        TaskNotFound, Forbidden: it is not there, or not theirs.
        TaskNotCancellable: it runs or has ended.
    """
    task = await _own(uow, who, task_id)
    if not await store.cancel(uow.session, [task_id]):
        raise TaskNotCancellable
    tell_ended(uow, task, TaskStatus.CANCELLED)
    if task.kind in _OF_SYNC_JOBS and task.subject_id is not None:
        await sync_jobs.fail(uow, task.subject_id, "cancelled", "somebody cancelled its task")
    if task.kind == DeliverOutbound.KIND and task.subject_id is not None:
        await deliveries.give_up(uow, task.subject_id)
    if task.kind in _OF_SENDINGS and task.subject_id is not None:
        await _end_sending(uow, task, task.subject_id)
    await callbacks.publish(uow, [task_id])
    _forget_progress(uow, task)
    uow.audit("task.cancel", "task", task_id, kind=task.kind)


async def _end_sending(uow: UnitOfWork, task: Task, delivery_id: UUID) -> None:
    """Nobody waits any longer; a run that was lost in the middle may have sent it all the same."""
    if task.kind == SettleDelivery.KIND or task.intent_at is not None:
        await delivery_reports.settle_unknown(uow, delivery_id)
    else:
        await delivery_reports.fail(uow, delivery_id, "cancelled", "It was cancelled before it was sent")


async def retry(uow: UnitOfWork, who: Principal, task_id: UUID) -> Task:
    """
    Raises:
        TaskNotFound, Forbidden: it is not there, or not theirs.
        TaskNotRetryable: it has not failed, or is never done twice.
    """
    task = await _own(uow, who, task_id)
    kind = KINDS.get(task.kind)
    if kind is not None and kind.ONCE:
        # Its answer may have been lost: sending again is a decision of its own (POST /deliveries/{id}/resend).
        raise TaskNotRetryable("Such a task is never run twice; send the message again instead")
    if not await store.retry(uow.session, task_id):
        raise TaskNotRetryable
    uow.ring(store.TaskRef(id=task.id, queue=task.queue, slot=None))
    _forget_progress(uow, task)
    uow.audit("task.retry", "task", task_id, kind=task.kind)
    await uow.session.refresh(task)
    return task
