"""The small HTTP port of a worker or the scheduler: liveness, readiness, metrics."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Readiness = Callable[[], Awaitable[dict[str, Any]]]


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process that embeds it handles signals itself."""

    def capture_signals(self) -> Any:
        from contextlib import nullcontext

        return nullcontext()


class HealthServer:
    """Serves `/health/liveness`, `/health/readiness` (503 unless `status` is `ok` or `degraded`) and `/metrics`."""

    def __init__(self, host: str, port: int, readiness: Readiness) -> None:
        async def live(_: Request) -> Response:
            return JSONResponse({"status": "ok"})

        async def ready(_: Request) -> Response:
            state = await readiness()
            return JSONResponse(state, status_code=503 if state["status"] == "error" else 200)

        async def metrics(_: Request) -> Response:
            return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

        app = Starlette(
            routes=[
                Route("/health/liveness", live),
                Route("/health/readiness", ready),
                Route("/health", ready),
                Route("/metrics", metrics),
            ]
        )
        self._server = _Server(uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            RuntimeError: the port is taken.
        """
        self._task = asyncio.create_task(self._serve())
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError(f"WORKER_HEALTH_PORT {self._server.config.port} cannot be used")
            await asyncio.sleep(0.005)

    async def _serve(self) -> None:
        try:
            await self._server.serve()
        except SystemExit as error:  # uvicorn's way of saying that it cannot bind
            raise RuntimeError(f"WORKER_HEALTH_PORT {self._server.config.port} is taken or not allowed") from error

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
