"""Turns a stored webhook into interactions, messages, leads and reports."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.contact_center.events import (
    CallEvent,
    Ignored,
    IncomingMessage,
    NotUnderstood,
    OutgoingMessage,
    SmsStatus,
    Understood,
)
from contactship_common.settings import ContactCenterSettings
from contactship_common.tasks.catalog import HandleWebhook
from contactship_common.tasks.outcomes import Again, GivenUp, TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.tasks.together import Member, TogetherHandler
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.inbound.calls import apply_call
from contactship_delivery_worker.inbound.entries import Entry, handled, lock_entry, refused
from contactship_delivery_worker.inbound.messages import apply_incoming, apply_outgoing
from contactship_delivery_worker.inbound.sms_reports import apply_status
from contactship_delivery_worker.inbound.together import apply_all
from contactship_delivery_worker.inbound.understanding import understand


class WebhookHandler(TogetherHandler[HandleWebhook]):
    """Everything is in the database, so everything happens in `record`: the effects, the entry's `handled_at` and the
    end of the task commit together or not at all."""

    def __init__(self, settings: ContactCenterSettings) -> None:
        self._region = settings.default_region

    async def load(self, session: AsyncSession, payload: HandleWebhook, task: ClaimedTask) -> None:
        """Everything happens in `record`."""

    async def work(self, payload: HandleWebhook, loaded: None) -> None:
        """Nothing outside the database."""

    async def record(
        self, uow: UnitOfWork, payload: HandleWebhook, task: ClaimedTask, loaded: None, result: None
    ) -> dict[str, Any] | Again | GivenUp:
        entry = await lock_entry(uow, payload.inbox_id)
        if entry is None or entry.body is None:
            return GivenUp("inbox_entry_gone", "The entry or its body has been deleted")
        if entry.handled_at is not None:
            return {"handledBefore": True}
        try:
            understood = understand(entry)
            return await self._apply(uow, entry, understood)
        except NotUnderstood as error:
            # Nothing but the reason has been written by now: refusals come before the first effect.
            await refused(uow, entry.id, error.code, error.message)
            return GivenUp(error.code, error.message)

    async def _apply(self, uow: UnitOfWork, entry: Entry, understood: Understood) -> dict[str, Any] | Again | GivenUp:
        match understood.event:
            case CallEvent() as event:
                return await apply_call(uow, entry, understood, event, self._region)
            case IncomingMessage() as event:
                return await apply_incoming(uow, entry, understood, event)
            case OutgoingMessage() as event:
                return await apply_outgoing(uow, entry, understood, event)
            case SmsStatus() as event:
                return await apply_status(uow, entry, understood, event)
            case Ignored(reason):
                await handled(uow, entry)
                return {"ignored": reason}

    async def record_together(self, uow: UnitOfWork, members: Sequence[Member]) -> Mapping[UUID, dict[str, Any]]:
        return await apply_all(uow, members, self._region)

    async def failed(self, uow: UnitOfWork, payload: HandleWebhook, task: ClaimedTask, error: TaskError) -> None:
        await refused(uow, payload.inbox_id, error.code, error.message)
