"""Why nothing can be done with an endpoint or a delivery."""

from contactship_common.errors import Conflict, NotFound


class WebhookEndpointNotFound(NotFound):
    code, title = "webhook_endpoint_not_found", "There is no webhook endpoint with this id"


class WebhookDeliveryNotFound(NotFound):
    code, title = "webhook_delivery_not_found", "This endpoint has no delivery with this id"


class TooManyWebhookEndpoints(Conflict):
    code, title = "too_many_webhook_endpoints", "There are 50 webhook endpoints, and no more are possible"


class WebhookEndpointDisabled(Conflict):
    code, title = "webhook_endpoint_disabled", "This endpoint is switched off and gets nothing"
