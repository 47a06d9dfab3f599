"""/webhook-endpoints: paths, status codes, who may call."""

from contactship_api.http.route import api_router

router = api_router(prefix="/webhook-endpoints", tags=["webhook_endpoints"])
