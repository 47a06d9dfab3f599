"""Events for outbound webhooks."""

from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.models import WebhookEndpoint
from contactship_common.outbound import deliveries
from contactship_common.uow import UnitOfWork

EVENT_TYPES = (
    "lead.created", "lead.updated", "lead.summarized", "sync.completed", "meeting.classified", "message.received",
    "message.sent", "message.failed", "conversation.analyzed", "interaction.completed", "otp.verified",
)  # fmt: skip
"""What an endpoint can subscribe to."""


async def publish(uow: UnitOfWork, event_type: str, data: dict[str, Any]) -> None:
    """Tell every endpoint that has subscribed to this, once this transaction has committed. `data` is JSON-ready and
    carries no code and no secret; it is frozen here."""
    endpoints = sa.select(col(WebhookEndpoint.id), col(WebhookEndpoint.url)).where(
        col(WebhookEndpoint.active), col(WebhookEndpoint.events).contains([event_type])
    )
    rows = (await uow.session.execute(endpoints)).all()
    if not rows:
        return
    body = deliveries.frozen(event_type, data)
    for endpoint_id, url in rows:
        deliveries.publish(uow, url=url, event_type=event_type, body=body, endpoint_id=endpoint_id)
