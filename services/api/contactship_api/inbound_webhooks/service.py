"""Having an entry of the inbox handled once more."""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.inbound_webhooks.errors import InboxEntryEmptied, InboxEntryNotFound
from contactship_common.models import InboxEntry
from contactship_common.tasks.catalog import HandleWebhook
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork


async def replay(uow: UnitOfWork, inbox_id: UUID) -> TaskRef:
    """The task that handles it; the one that waits already, if there is one. What was handled has no second effect.

    Raises:
        InboxEntryNotFound, InboxEntryEmptied
    """
    statement = sa.select(col(InboxEntry.provider), col(InboxEntry.body).is_(None), col(InboxEntry.handled_at))
    row = (await uow.session.execute(statement.where(col(InboxEntry.id) == inbox_id))).first()
    if row is None:
        raise InboxEntryNotFound
    provider, emptied, handled_at = row
    if emptied:
        raise InboxEntryEmptied
    ref = uow.enqueue(HandleWebhook(inbox_id=inbox_id))
    uow.audit("webhook.replay", "webhook_inbox", inbox_id, provider=provider, handledBefore=handled_at is not None)
    await uow.flush()
    return ref
