"""Telling an address that came with a request how its task ended.

    url = await callbacks.accept(settings, body.callback_url)   # before the first statement: it may look up a name
    task = uow.enqueue(...)
    await uow.flush()
    await callbacks.want(uow, task.id, url)

A kind that takes callbacks has a `CALLBACK_EVENT`. However its task ends, whoever wanted to hear does: in the
transaction that ends it, wants become deliveries. A handler that has more to say than the task's result calls
`publish_task_end` in `record` or `failed`.
"""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from contactship_common.errors import CallbacksNotConfigured
from contactship_common.models import TaskCallback
from contactship_common.models.base import new_id
from contactship_common.outbound.urls import accept_url
from contactship_common.settings.core import CoreSettings
from contactship_common.uow import UnitOfWork


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
