"""`contactship-api`: one process of the gateway."""

import asyncio
import gc
import signal
import socket
import sys
from typing import Literal

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from contactship_api.lean import UNUSED, without

with without(*UNUSED):  # before anything that might import them
    from contactship_api.app import create_app
    from contactship_api.realtime.protocol import LARGEST_MESSAGE_BYTES
    from contactship_api.realtime.server import RealtimeServer
    from contactship_common import telemetry
    from contactship_common.settings import ApiSettings, CoreSettings, explain

_BACKLOG = 2_048
_KEEP_ALIVE_SECONDS = 75  # longer than the usual proxy's, so that the proxy closes first
_SHUTDOWN_SECONDS = 35  # a held `?wait=30` may finish
_LAST_WORDS_SECONDS = 3


def main() -> None:
    """A wrong setting is one clear line and exit status 1."""
    try:
        core, settings = CoreSettings(), ApiSettings()
        telemetry.start(core, "api")
        gateway = create_app(core, settings)
        listening = _listen(settings)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"contactship-api: {explain(error)}")
    # After a clean stop uvicorn raises the signal again: without a handler that would end as killed, not as 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    # What has been imported and put together stays: no collection needs to walk over it again.
    gc.collect()
    gc.freeze()
    make_server(gateway).run(sockets=[listening])
    telemetry.stop()


def make_server(app: FastAPI, *, lifespan: Literal["auto", "off"] = "auto") -> uvicorn.Server:
    """The HTTP and WebSocket server of the application that `create_app` made."""
    realtime: RealtimeServer = app.state.gateway.realtime
    config = uvicorn.Config(
        realtime.asgi(app),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # it believes whoever connects from this machine; TRUSTED_PROXIES decides here
        lifespan=lifespan,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE_BYTES,
        ws_ping_interval=None,  # Engine.IO has pings of its own
        ws_per_message_deflate=False,  # small events to many sockets: a compressor each costs more than it saves
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    return _Server(config, realtime)


class _Server(uvicorn.Server):
    """Ends sockets and long polls before it waits for requests; they would hold it up for as long as it waits."""

    def __init__(self, config: uvicorn.Config, realtime: RealtimeServer) -> None:
        super().__init__(config)
        self._realtime = realtime

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._realtime.say_goodbye()
        cut = asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._cut_sockets)
        await super().shutdown(sockets)
        cut.cancel()

    def _cut_sockets(self) -> None:
        """A client that does not read its last events would keep its connection open."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, WebSocketsSansIOProtocol):
                connection.transport.abort()


def _listen(settings: ApiSettings) -> socket.socket:
    """Take the port first of all: uvicorn would do it last, after everything else has been opened.

    Raises:
        RuntimeError: it is taken or not allowed.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise RuntimeError(f"PORT {settings.port} on {settings.host} cannot be used: {error.strerror}") from error
