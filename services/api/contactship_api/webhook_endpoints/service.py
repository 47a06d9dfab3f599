"""Endpoints: who hears of what. Secrets are shown when they are made, and never audited or logged."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.webhook_endpoints.errors import (
    TooManyWebhookEndpoints,
    WebhookDeliveryNotFound,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
)
from contactship_api.webhook_endpoints.schemas import EndpointCreate, EndpointUpdate, Rotation
from contactship_common.models import OutboundDelivery, WebhookEndpoint
from contactship_common.models.base import new_id
from contactship_common.outbound import deliveries, redelivery
from contactship_common.outbound.endpoints import BY_HAND, end_waiting
from contactship_common.outbound.events import PING
from contactship_common.outbound.signing import make_secret
from contactship_common.outbound.urls import accept_url
from contactship_common.settings import CoreSettings
from contactship_common.tasks.catalog import DeliverOutbound
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import UnitOfWork

MAX_ENDPOINTS = 50
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoints', 0))")


async def create(uow: UnitOfWork, core: CoreSettings, body: EndpointCreate) -> WebhookEndpoint:
    """
    Raises:
        UrlNotAllowed, TooManyWebhookEndpoints
    """
    url = await accept_url(core, body.url)  # before the first statement: it may look up a name
    session = uow.session
    await session.execute(_LOCK)
    if (await session.execute(sa.select(sa.func.count()).select_from(WebhookEndpoint))).scalar_one() >= MAX_ENDPOINTS:
        raise TooManyWebhookEndpoints
    row = WebhookEndpoint(
        id=new_id(),
        url=url,
        description=body.description,
        events=list(body.events),
        secret=make_secret(),
        created_by=uow.context.actor,
    )
    session.add(row)
    await session.flush()
    await session.refresh(row)
    uow.audit("webhook_endpoint.create", "webhook_endpoint", row.id, events=row.events)
    return row


async def update(uow: UnitOfWork, core: CoreSettings, endpoint_id: UUID, body: EndpointUpdate) -> WebhookEndpoint:
    """
    Raises:
        UrlNotAllowed, WebhookEndpointNotFound
    """
    given = body.model_dump(exclude_unset=True)
    if body.url is not None:
        given["url"] = await accept_url(core, body.url)
    row = await _locked(uow, endpoint_id)
    changed = {name: value for name, value in given.items() if getattr(row, name) != value}
    if not changed:
        return row
    for name, value in changed.items():
        setattr(row, name, value)
    if "url" in changed or row.active:
        # A fresh start: what failed, failed elsewhere or before.
        row.failing_since = None if {"url", "active"} & set(changed) else row.failing_since
    if "active" in changed:
        row.disabled_at = None if row.active else _now()
        row.disabled_reason = None if row.active else BY_HAND
    row.updated_at = _now()
    await uow.session.flush()
    if changed.get("active") is False:
        await end_waiting(uow, endpoint_id)
    await uow.session.refresh(row)
    uow.audit("webhook_endpoint.update", "webhook_endpoint", endpoint_id, fields=sorted(changed))
    return row


async def delete(uow: UnitOfWork, endpoint_id: UUID) -> None:
    """What waits for it has failed.

    Raises:
        WebhookEndpointNotFound
    """
    gone = sa.delete(WebhookEndpoint).where(col(WebhookEndpoint.id) == endpoint_id).returning(col(WebhookEndpoint.id))
    if (await uow.session.execute(gone)).first() is None:
        raise WebhookEndpointNotFound
    await end_waiting(uow, endpoint_id)
    uow.audit("webhook_endpoint.delete", "webhook_endpoint", endpoint_id)


async def rotate(uow: UnitOfWork, endpoint_id: UUID, body: Rotation) -> WebhookEndpoint:
    """A new secret; the old one signs beside it for a while. One that was still good from an earlier rotation ends.

    Raises:
        WebhookEndpointNotFound
    """
    row = await _locked(uow, endpoint_id)
    overlap = body.overlap_hours > 0
    row.previous_secret = row.secret if overlap else None
    row.previous_secret_until = _now() + sa.func.make_interval(0, 0, 0, 0, body.overlap_hours) if overlap else None
    row.secret = make_secret()
    row.updated_at = _now()
    await uow.session.flush()
    await uow.session.refresh(row)
    uow.audit("webhook_endpoint.rotate_secret", "webhook_endpoint", endpoint_id, overlapHours=body.overlap_hours)
    return row


async def ping(uow: UnitOfWork, endpoint_id: UUID) -> tuple[UUID, TaskRef]:
    """Send a `ping`; the delivery and its task.

    Raises:
        WebhookEndpointNotFound, WebhookEndpointDisabled
    """
    row = await _shared(uow, endpoint_id)
    body = deliveries.frozen(PING, {"endpointId": str(endpoint_id)})
    delivery_id = deliveries.publish(uow, url=row.url, event_type=PING, body=body, endpoint_id=endpoint_id)
    ref = uow.enqueue(DeliverOutbound(delivery_id=delivery_id))  # the one that `publish` has queued
    await uow.flush()
    return delivery_id, ref


async def redeliver(uow: UnitOfWork, endpoint_id: UUID, delivery_id: UUID) -> TaskRef:
    """
    Raises:
        WebhookEndpointNotFound, WebhookEndpointDisabled, WebhookDeliveryNotFound
    """
    await _shared(uow, endpoint_id)
    own = sa.select(col(OutboundDelivery.id)).where(
        col(OutboundDelivery.id) == delivery_id, col(OutboundDelivery.endpoint_id) == endpoint_id
    )
    if (await uow.session.execute(own)).first() is None:
        raise WebhookDeliveryNotFound
    uow.audit("webhook_delivery.redeliver", "webhook_delivery", delivery_id)
    return await redelivery.redeliver(uow, delivery_id)


async def redeliver_failed(uow: UnitOfWork, endpoint_id: UUID, since: datetime) -> int:
    """
    Raises:
        WebhookEndpointNotFound, WebhookEndpointDisabled
    """
    await _shared(uow, endpoint_id)
    queued = await redelivery.redeliver_failed(uow, endpoint_id, since)
    uow.audit("webhook_endpoint.redeliver_failed", "webhook_endpoint", endpoint_id, queued=queued)
    return queued


async def _locked(uow: UnitOfWork, endpoint_id: UUID) -> WebhookEndpoint:
    row = await uow.session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
    if row is None:
        raise WebhookEndpointNotFound
    return row


async def _shared(uow: UnitOfWork, endpoint_id: UUID) -> WebhookEndpoint:
    """The endpoint, kept as it is until the transaction ends."""
    statement = sa.select(WebhookEndpoint).where(col(WebhookEndpoint.id) == endpoint_id).with_for_update(read=True)
    row = (await uow.session.execute(statement)).scalar_one_or_none()
    if row is None:
        raise WebhookEndpointNotFound
    if not row.active:
        raise WebhookEndpointDisabled
    return row


def _now() -> Any:
    """The database's clock."""
    return sa.func.now()
