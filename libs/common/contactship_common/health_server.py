"""The small HTTP port of a worker or the scheduler: liveness, readiness, metrics."""

import asyncio
import socket
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
        host, port = self._server.config.host, self._server.config.port
        # Bound here: uvicorn would log a line of its own and leave by SystemExit.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise RuntimeError(f"WORKER_HEALTH_PORT {port} on {host} cannot be used: {why}") from error
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the health server ended while it was starting")
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
