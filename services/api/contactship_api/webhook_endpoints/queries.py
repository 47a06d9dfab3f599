"""Reads of endpoints and their deliveries. All of them need the right `webhooks:manage`, whatever they are about."""

from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.webhook_endpoints.errors import WebhookDeliveryNotFound, WebhookEndpointNotFound
from contactship_api.webhook_endpoints.schemas import AttemptOut, DeliveryDetail, DeliveryOut
from contactship_common.models import OutboundAttempt, OutboundDelivery, WebhookEndpoint
from contactship_common.outbound.deliveries import message_id

_ATTEMPTS_AT_MOST = 100

_COUNTED = (
    sa.select(sa.func.count())
    .where(col(OutboundAttempt.delivery_id) == col(OutboundDelivery.id))
    .correlate(OutboundDelivery)
    .scalar_subquery()
)
_LAST = (
    sa.select(col(OutboundAttempt.status_code), col(OutboundAttempt.error), col(OutboundAttempt.started_at))
    .where(col(OutboundAttempt.delivery_id) == col(OutboundDelivery.id))
    .order_by(col(OutboundAttempt.number).desc())
    .limit(1)
    .correlate(OutboundDelivery)
    .lateral("last")
)
_DELIVERIES = (
    sa.select(OutboundDelivery, _COUNTED.label("attempts"), _LAST.c.status_code, _LAST.c.error, _LAST.c.started_at)
    .select_from(OutboundDelivery)
    .outerjoin(_LAST, sa.true())
)


async def all_endpoints(session: AsyncSession) -> list[WebhookEndpoint]:
    """The newest first."""
    return list((await session.execute(sa.select(WebhookEndpoint).order_by(col(WebhookEndpoint.id).desc()))).scalars())


async def endpoint(session: AsyncSession, endpoint_id: UUID) -> WebhookEndpoint:
    """
    Raises:
        WebhookEndpointNotFound
    """
    found = await session.get(WebhookEndpoint, endpoint_id)
    if found is None:
        raise WebhookEndpointNotFound
    return found


async def deliveries(
    session: AsyncSession,
    endpoint_id: UUID,
    *,
    status: str | None,
    event_type: str | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[DeliveryOut], str | None]:
    """The newest first, and the cursor of the next page.

    Raises:
        WebhookEndpointNotFound
    """
    await endpoint(session, endpoint_id)
    statement = _DELIVERIES.where(col(OutboundDelivery.endpoint_id) == endpoint_id)
    if status is not None:
        statement = statement.where(col(OutboundDelivery.status) == status)
    if event_type is not None:
        statement = statement.where(col(OutboundDelivery.event_type) == event_type)
    if cursor:
        statement = statement.where(col(OutboundDelivery.id) < UUID(decode_cursor("outbound", cursor, 1)[0]))
    rows = (await session.execute(statement.order_by(col(OutboundDelivery.id).desc()).limit(limit + 1))).all()
    following = encode_cursor("outbound", str(rows[limit - 1][0].id)) if len(rows) > limit else None
    return [DeliveryOut.model_validate(_shown(row)) for row in rows[:limit]], following


async def delivery(session: AsyncSession, endpoint_id: UUID, delivery_id: UUID) -> DeliveryDetail:
    """
    Raises:
        WebhookEndpointNotFound, WebhookDeliveryNotFound
    """
    await endpoint(session, endpoint_id)
    statement = _DELIVERIES.where(
        col(OutboundDelivery.endpoint_id) == endpoint_id, col(OutboundDelivery.id) == delivery_id
    )
    row = (await session.execute(statement)).first()
    if row is None:
        raise WebhookDeliveryNotFound
    made = (
        sa.select(OutboundAttempt)
        .where(col(OutboundAttempt.delivery_id) == delivery_id)
        .order_by(col(OutboundAttempt.number).desc())
        .limit(_ATTEMPTS_AT_MOST)
    )
    attempts = [AttemptOut.model_validate(attempt) for attempt in (await session.execute(made)).scalars()]
    return DeliveryDetail.model_validate(
        {**_shown(row), "payload": orjson.loads(row[0].payload), "attempt_log": attempts[::-1]}
    )


def _shown(row: Any) -> dict[str, Any]:
    found, attempts, status_code, error, started_at = row
    return {
        "id": found.id,
        "message_id": message_id(found.id),
        "event_type": found.event_type,
        "url": found.url,
        "status": found.status,
        "attempts": attempts,
        "last_status_code": status_code,
        "last_error": error,
        "last_attempt_at": started_at,
        "created_at": found.created_at,
        "finished_at": found.finished_at,
    }
