"""/webhook-endpoints: paths, status codes, who may call."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from contactship_api.access.requires import WebhooksManage
from contactship_api.deps import Reading, TheGateway, Uow
from contactship_api.http.paging import Cursor, CursorLimit
from contactship_api.http.problems import BadCursor
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import CursorMeta
from contactship_api.webhook_endpoints import queries, service
from contactship_api.webhook_endpoints.errors import (
    TooManyWebhookEndpoints,
    WebhookDeliveryNotFound,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
)
from contactship_api.webhook_endpoints.schemas import (
    DeliveredType,
    DeliveryDetail,
    DeliveryPage,
    EndpointCreate,
    EndpointList,
    EndpointOut,
    EndpointUpdate,
    EndpointWithSecret,
    RedeliverFailed,
    Redeliveries,
    Redelivery,
    Rotation,
)
from contactship_common.errors import UrlNotAllowed
from contactship_common.models import DeliveryStatus
from contactship_common.tasks.store import TaskRef

router = api_router(prefix="/webhook-endpoints", tags=["webhook endpoints"])


@router.post("", status_code=201, response_model=EndpointWithSecret)
@raises(UrlNotAllowed, TooManyWebhookEndpoints)
async def create_endpoint(
    body: EndpointCreate, who: WebhooksManage, uow: Uow, gateway: TheGateway
) -> EndpointWithSecret:
    """Have events sent to a URL. The secret that signs them is in this answer and nowhere else."""
    return EndpointWithSecret.model_validate(await service.create(uow, gateway.core, body))


@router.get("", response_model=EndpointList)
async def list_endpoints(who: WebhooksManage, session: Reading) -> EndpointList:
    """All endpoints, newest first, without their secrets."""
    rows = await queries.all_endpoints(session)
    return EndpointList(data=[EndpointOut.model_validate(row) for row in rows])


@router.get("/{endpoint_id}", response_model=EndpointOut)
@raises(WebhookEndpointNotFound)
async def get_endpoint(endpoint_id: UUID, who: WebhooksManage, session: Reading) -> EndpointOut:
    """One endpoint, without its secret."""
    return EndpointOut.model_validate(await queries.endpoint(session, endpoint_id))


@router.patch("/{endpoint_id}", response_model=EndpointOut)
@raises(WebhookEndpointNotFound, UrlNotAllowed)
async def update_endpoint(
    endpoint_id: UUID, body: EndpointUpdate, who: WebhooksManage, uow: Uow, gateway: TheGateway
) -> EndpointOut:
    """Change an endpoint, or switch it off or on."""
    return EndpointOut.model_validate(await service.update(uow, gateway.core, endpoint_id, body))


@router.delete("/{endpoint_id}", status_code=204)
@raises(WebhookEndpointNotFound)
async def delete_endpoint(endpoint_id: UUID, who: WebhooksManage, uow: Uow) -> Response:
    """Send it nothing more. What waits for it has failed."""
    await service.delete(uow, endpoint_id)
    return Response(status_code=204)


@router.post("/{endpoint_id}/rotate-secret", response_model=EndpointWithSecret)
@raises(WebhookEndpointNotFound)
async def rotate_secret(
    endpoint_id: UUID, who: WebhooksManage, uow: Uow, body: Rotation | None = None
) -> EndpointWithSecret:
    """Make a new secret, shown here and nowhere else. For `overlapHours` messages carry a signature by each."""
    return EndpointWithSecret.model_validate(await service.rotate(uow, endpoint_id, body or Rotation()))


@router.post("/{endpoint_id}/test", status_code=202, response_model=Redelivery)
@raises(WebhookEndpointNotFound, WebhookEndpointDisabled)
async def send_test_event(endpoint_id: UUID, who: WebhooksManage, uow: Uow, response: Response) -> Redelivery:
    """Send a `ping`, as any other event: signed, tried again, and among the deliveries."""
    delivery_id, ref = await service.ping(uow, endpoint_id)
    return _accepted(response, delivery_id, ref)


@router.get("/{endpoint_id}/deliveries", response_model=DeliveryPage)
@raises(WebhookEndpointNotFound, BadCursor)
async def list_endpoint_deliveries(
    endpoint_id: UUID,
    who: WebhooksManage,
    session: Reading,
    status: DeliveryStatus | None = None,
    event_type: Annotated[DeliveredType | None, Query(alias="eventType")] = None,
    limit: CursorLimit = 20,
    cursor: Cursor = None,
) -> DeliveryPage:
    """What was, or will be, sent to this endpoint, newest first."""
    rows, following = await queries.deliveries(
        session, endpoint_id, status=status, event_type=event_type, limit=limit, cursor=cursor
    )
    return DeliveryPage(data=rows, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))


@router.post("/{endpoint_id}/redeliver-failed", status_code=202, response_model=Redeliveries)
@raises(WebhookEndpointNotFound, WebhookEndpointDisabled)
async def redeliver_failed(endpoint_id: UUID, body: RedeliverFailed, who: WebhooksManage, uow: Uow) -> Redeliveries:
    """One more attempt for all deliveries since a moment that have failed."""
    return Redeliveries(queued=await service.redeliver_failed(uow, endpoint_id, body.since))


@router.get("/{endpoint_id}/deliveries/{delivery_id}", response_model=DeliveryDetail)
@raises(WebhookEndpointNotFound, WebhookDeliveryNotFound)
async def get_endpoint_delivery(
    endpoint_id: UUID, delivery_id: UUID, who: WebhooksManage, session: Reading
) -> DeliveryDetail:
    """One delivery with its payload and its attempts."""
    return await queries.delivery(session, endpoint_id, delivery_id)


@router.post("/{endpoint_id}/deliveries/{delivery_id}/redeliver", status_code=202, response_model=Redelivery)
@raises(WebhookEndpointNotFound, WebhookDeliveryNotFound, WebhookEndpointDisabled)
async def redeliver(
    endpoint_id: UUID, delivery_id: UUID, who: WebhooksManage, uow: Uow, response: Response
) -> Redelivery:
    """One more attempt now, with the same body and the same `webhook-id`, whatever became of the earlier ones. While an
    attempt waits or is under way, asking again gives the same task."""
    ref = await service.redeliver(uow, endpoint_id, delivery_id)
    return _accepted(response, delivery_id, ref)


def _accepted(response: Response, delivery_id: UUID, ref: TaskRef) -> Redelivery:
    response.headers["Location"] = f"/api/v1/tasks/{ref.id}"
    response.headers["Retry-After"] = "1"
    return Redelivery(task_id=ref.id, delivery_id=delivery_id)
