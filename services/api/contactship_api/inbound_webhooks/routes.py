"""/webhooks: what providers send us, and the inbox: paths, status codes, who may call."""

from contactship_api.http.route import api_router

router = api_router(prefix="/webhooks", tags=["inbound_webhooks"])
