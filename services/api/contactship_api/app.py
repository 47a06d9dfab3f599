"""The composition root: everything the gateway consists of, in one flat list."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from contactship_api.ai import routes as ai
from contactship_api.api_keys import routes as api_keys
from contactship_api.audit import routes as audit
from contactship_api.auth import routes as auth
from contactship_api.auth.service import ensure_first_admin
from contactship_api.classifications import routes as classifications
from contactship_api.classifications.routes import Classifications
from contactship_api.clients import routes as clients
from contactship_api.conversations import routes as conversations
from contactship_api.gateway import Gateway
from contactship_api.health import routes as health
from contactship_api.http import document, problems, swagger
from contactship_api.http.aliases import API, Aliases
from contactship_api.http.cached_reads import CachedReads
from contactship_api.http.client_address import parse_networks
from contactship_api.http.context import RequestContext
from contactship_api.http.route import ApiRoute, count
from contactship_api.inbound_webhooks import routes as inbound_webhooks
from contactship_api.interactions import routes as interactions
from contactship_api.kpis import routes as kpis
from contactship_api.kpis.routes import Kpis
from contactship_api.lead_export import routes as lead_export
from contactship_api.lead_import import routes as lead_import
from contactship_api.leads import routes as leads
from contactship_api.meetings import routes as meetings
from contactship_api.otp import routes as otp
from contactship_api.seeds import routes as seeds
from contactship_api.sellers import routes as sellers
from contactship_api.sending import routes as sending
from contactship_api.sync import routes as sync
from contactship_api.tasks import routes as tasks
from contactship_api.users import routes as users
from contactship_api.webhook_endpoints import routes as webhook_endpoints
from contactship_api.workers import routes as workers
from contactship_common import passwords
from contactship_common.classification.categories import load_categories
from contactship_common.db import DATABASE_AWAY
from contactship_common.settings import ApiSettings, CoreSettings
from contactship_common.uow import unit_of_work
from contactship_common.version import VERSION

log = structlog.get_logger()

_EXPOSED_HEADERS = [
    "X-Request-Id", "X-Cache", "ETag", "Location", "Retry-After", "Idempotent-Replayed",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
]  # fmt: skip

# FastAPI would start exporting by itself where OTEL_EXPORTER_OTLP_ENDPOINT is set: with query strings (searches,
# tokens) in its spans and the messages of exceptions in its logs. Our own spans carry neither.
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


@lru_cache(maxsize=8)
def _by_categories(path: str) -> tuple[Classifications, Kpis]:
    """The features whose operations depend on the file of categories, once for each file like the categories
    themselves: their shapes take as long to make as everything else here."""
    categories = load_categories(path)
    return classifications.configured(categories), kpis.configured(categories)


def create_app(core: CoreSettings, settings: ApiSettings) -> FastAPI:
    """The whole API.

    Raises:
        ValueError: a setting is wrong; says which.
    """
    trusted = parse_networks(settings.trusted_proxies)
    gateway = Gateway(core, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await gateway.open()
        try:
            await passwords.warm_up()
            try:
                async with unit_of_work(gateway.runtime) as uow:
                    await ensure_first_admin(uow, settings.first_admin())
            except DATABASE_AWAY as error:
                # Readiness says so until PostgreSQL is there; the next start makes the admin.
                log.warning("admin.not_checked", error=type(error).__name__)
            log.info("api.started", port=settings.port)
            yield
        finally:
            await gateway.close()
            log.info("api.stopped")

    app = FastAPI(
        title=health.NAME,
        version=VERSION,
        description=health.DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    app.state.gateway = gateway
    app.include_router(health.router)
    # Imports and exports before the leads, whose `/leads/{id}` would take their paths.
    literal_paths: defaultdict[str, list[str]] = defaultdict(list)
    features: tuple[Any, ...] = (
        auth, users, api_keys, audit, lead_import, lead_export, leads, sync, tasks,
        clients, sellers, meetings, workers, seeds, ai, conversations,
        inbound_webhooks, interactions, otp, sending, webhook_endpoints,
        *_by_categories(core.classification_file),
    )  # fmt: skip
    for feature in features:
        app.include_router(feature.router, prefix=API)
        for route in feature.router.routes:
            if isinstance(route, ApiRoute) and not route.param_convertors:
                literal_paths[API + route.path] += route.methods or ()
    app.state.literal_paths = dict(literal_paths)
    problems.install(app, count_unrouted=lambda request: count(gateway, request, None))
    document.install(app)
    swagger.install(app)
    routes = [route for feature in features for route in feature.router.routes]
    app.add_middleware(CachedReads, gateway=gateway, routes=routes)
    if settings.cors_origin:
        everyone = "*" in settings.cors_origin
        app.add_middleware(
            CORSMiddleware,
            allow_origins=["*"] if everyone else settings.cors_origin,
            allow_credentials=not everyone,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"]
            if everyone
            else [
                "Authorization",
                "Content-Type",
                "x-api-key",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
                "Prefer",
                "X-Request-Id",
                "traceparent",
            ],
            expose_headers=_EXPOSED_HEADERS,
        )
    app.add_middleware(Aliases)
    app.add_middleware(RequestContext, max_body_bytes=settings.max_body_bytes, hsts=core.is_production, trusted=trusted)
    return app
