"""Telling an address that came with a request how its task ended.

    url = await callbacks.accept(settings, body.callback_url)   # before the first statement: it may look up a name
    task = uow.enqueue(...)
    await uow.flush()
    await callbacks.want(uow, task.id, url)

A kind that takes callbacks has a `CALLBACK_EVENT`. However its task ends, whoever wanted to hear does: in the
transaction that ends it, wants become deliveries. A handler that has more to say than the task's result calls
`publish_task_end` in `record` or `failed`.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from contactship_common.errors import CallbacksNotConfigured
from contactship_common.models import TaskCallback, TaskStatus
from contactship_common.models.base import new_id
from contactship_common.outbound import deliveries
from contactship_common.outbound.urls import accept_url
from contactship_common.settings.core import CoreSettings
from contactship_common.tasks.catalog import KINDS
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork

_TOLD = "contactship.task_ends"
_SHOWN = {TaskStatus.SUCCEEDED: "completed"}  # the rest is called what it is

_TAKE = sa.text("""
DELETE FROM task_callbacks USING tasks
 WHERE tasks.id = task_callbacks.task_id AND task_callbacks.task_id = ANY(:ids)
RETURNING task_callbacks.url, tasks.id, tasks.kind, tasks.status, tasks.subject_id, tasks.result, tasks.error
""")


async def accept(settings: CoreSettings, url: str) -> str:
    """The URL as it will be called, if it may be.

    Raises:
        CallbacksNotConfigured: there is no secret to sign with.
        UrlNotAllowed: see `accept_url`.
    """
    if not settings.callback_signing_secret:
        raise CallbacksNotConfigured
    return await accept_url(settings, url)


async def want(uow: UnitOfWork, task_id: UUID, url: str) -> None:
    """Have `url` (as `accept` returned it) told how the task ends; once, however often it is asked for.

    Call it in the transaction that enqueued the task, after `uow.flush()`: then the task cannot end in between.
    """
    row = {"id": new_id(), "task_id": task_id, "url": url, "requested_by": uow.context.actor}
    await uow.session.execute(insert(TaskCallback).values(row).on_conflict_do_nothing())


async def publish_task_end(uow: UnitOfWork, task: ClaimedTask, event_type: str, payload: dict[str, Any]) -> None:
    """Have the callbacks told this (`payload` becomes `data`) instead of the task's plain result.

    They hear it if this transaction ends the task; where a fresh run was asked for meanwhile, they hear of that one.
    """
    uow.session.info.setdefault(_TOLD, {})[task.id] = (event_type, payload)


def takes_them(kind: str) -> bool:
    """Can callbacks wait for tasks of this kind?"""
    known = KINDS.get(kind)
    return known is not None and known.CALLBACK_EVENT is not None


async def publish(uow: UnitOfWork, task_ids: Iterable[UUID]) -> None:
    """Turn the callbacks of tasks that end in this transaction into deliveries.

    The engine does it for every task that it ends. Who ends tasks by other means (cancelling them) calls it
    afterwards in the same transaction; ids of tasks without callbacks do no harm.
    """
    ids = list(task_ids)
    if not ids:
        return
    told: dict[UUID, tuple[str, dict[str, Any]]] = uow.session.info.get(_TOLD, {})
    bodies: dict[UUID, tuple[str, str]] = {}
    for row in (await uow.session.execute(_TAKE, {"ids": ids})).all():
        if row.id not in bodies:
            event_type, data = told.get(row.id) or _plain(row)
            bodies[row.id] = event_type, deliveries.frozen(event_type, data)
        event_type, body = bodies[row.id]
        deliveries.publish(uow, url=row.url, event_type=event_type, body=body, task_id=row.id)


def _plain(row: Any) -> tuple[str, dict[str, Any]]:
    status = _SHOWN.get(row.status, row.status)
    event = KINDS[row.kind].CALLBACK_EVENT if row.status == TaskStatus.SUCCEEDED else None
    return event or f"task.{status}", {
        "taskId": str(row.id),
        "kind": row.kind,
        "status": status,
        "subjectId": str(row.subject_id) if row.subject_id else None,
        "result": row.result,
        "error": row.error,
    }
