"""/interactions: paths, status codes, who may call."""

from contactship_api.http.route import api_router

router = api_router(prefix="/interactions", tags=["interactions"])
