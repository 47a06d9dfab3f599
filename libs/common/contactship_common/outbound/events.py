"""Events for outbound webhooks."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import sqlalchemy as sa

from contactship_common.outbound import deliveries
from contactship_common.uow import UnitOfWork

EVENT_TYPES = (
    "lead.created", "lead.updated", "lead.summarized", "sync.completed", "meeting.classified", "message.received",
    "message.sent", "message.failed", "conversation.analyzed", "interaction.completed", "otp.verified",
)  # fmt: skip
"""What an endpoint can subscribe to."""

PING = "ping"
"""Sent to one endpoint on request; nobody subscribes to it."""

Data = dict[str, Any]
DataWhenWanted = Callable[[], Awaitable[Data | None]]
"""Reads the data where somebody has subscribed; None: there is nothing to tell after all."""

_SUBSCRIBED = sa.text(
    "SELECT id, url FROM webhook_endpoints WHERE active AND events @> CAST(:event AS jsonb) ORDER BY id"
)


async def is_wanted(uow: UnitOfWork, event_type: str) -> bool:
    """Whether anybody has subscribed: one look for many events that may have to be told."""
    event = orjson.dumps(event_type).decode()
    return (await uow.session.execute(_SUBSCRIBED, {"event": event})).first() is not None


async def publish(uow: UnitOfWork, event_type: str, data: Data | DataWhenWanted) -> None:
    """Tell every endpoint that has subscribed to this, once this transaction has committed. `data` is what
    JSON can say (ids and times in UTC too), carries no code and no secret, and is frozen here."""
    event = orjson.dumps(event_type).decode()
    endpoints = (await uow.session.execute(_SUBSCRIBED, {"event": event})).all()
    if not endpoints:
        return
    told = data if isinstance(data, dict) else await data()
    if told is None:
        return
    body = deliveries.frozen(event_type, told)
    for endpoint_id, url in endpoints:
        deliveries.publish(uow, url=url, event_type=event_type, body=body, endpoint_id=endpoint_id)
