"""Public answers about the service itself: /, /ping, /health…, /metrics."""

import asyncio
import hmac
from datetime import UTC, datetime
from typing import Any

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from contactship_api.deps import TheGateway
from contactship_api.health import checks
from contactship_api.health.schemas import Health, Status
from contactship_api.http.route import api_router, public, raises, unlimited
from contactship_common.errors import Unauthenticated
from contactship_common.version import VERSION

NAME = "Contactship API"
DESCRIPTION = "An event-driven CRM: leads, meetings, conversations and calls, with AI that keeps up."

router = api_router(tags=["service"])
UNHEALTHY: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "PostgreSQL cannot be reached"}}


@router.get("/")
@public
@unlimited
async def about() -> dict[str, str]:
    """What this is."""
    return {"name": NAME, "version": VERSION, "description": DESCRIPTION}


@router.get("/ping")
@public
@unlimited
async def ping() -> dict[str, str]:
    """Answers as long as the process serves."""
    return {"status": "ok", "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z")}


@router.get("/health/liveness")
@public
@unlimited
async def liveness() -> dict[str, str]:
    """The process lives; says nothing about what it depends on."""
    return {"status": "ok"}


def _answer(info: dict[str, Any]) -> Response:
    status = checks.overall(info)
    body = Health.model_validate({"status": status, "info": info}).model_dump_json()
    return Response(body, status_code=503 if status == "error" else 200, media_type="application/json")


@router.get("/health/readiness", response_model=Health, responses=UNHEALTHY)
@public
@unlimited
async def readiness(gateway: TheGateway) -> Response:
    """May this process get traffic? PostgreSQL is needed; Redis and workers may be away (`degraded`)."""
    return _answer(await checks.parts(gateway))


@router.get("/health", response_model=Health, responses=UNHEALTHY)
@public
@unlimited
async def health(gateway: TheGateway) -> Response:
    """Everything: database, Redis, live workers and the oldest waiting task, webhooks that nobody has handled for five
    minutes, and who answers AI questions. `degraded` (still 200): something other than PostgreSQL is `down`."""
    info, inbox = await asyncio.gather(checks.parts(gateway), checks.inbox(gateway))
    return _answer({**info, "inbox": inbox})


@router.get(
    "/api/v1/workers/health",
    response_model=Status,
    responses={503: {"model": Status, "description": "Work would wait"}},
)
@public
@unlimited
async def workers_health(gateway: TheGateway) -> Response:
    """Would work be done now? The broker can be reached and every queue has a live worker."""
    (_, workers), broker = await asyncio.gather(checks.database(gateway), checks.broker(gateway))
    working = workers["status"] == "up" and broker["status"] == "up"
    body = Status(status="ok" if working else "error").model_dump_json()
    return Response(body, status_code=200 if working else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
@public
@unlimited
@raises(Unauthenticated)
async def metrics(request: Request, gateway: TheGateway) -> Response:
    """Prometheus metrics of this process; with `METRICS_TOKEN` set, only for whoever shows it as a Bearer token."""
    token = gateway.settings.metrics_token
    if token and not hmac.compare_digest(request.headers.get("authorization", "").encode(), f"Bearer {token}".encode()):
        raise Unauthenticated
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
