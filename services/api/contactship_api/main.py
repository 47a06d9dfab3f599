"""`contactship-api`: one process of the gateway."""

import signal
import socket
import sys

import uvicorn

from contactship_api.app import create_app
from contactship_common.logs import configure_logging
from contactship_common.settings import ApiSettings, CoreSettings, explain

_BACKLOG = 2_048
_KEEP_ALIVE_SECONDS = 75  # longer than the usual proxy's, so that the proxy closes first
_SHUTDOWN_SECONDS = 35  # a held `?wait=30` may finish


def main() -> None:
    """A wrong setting is one clear line and exit status 1."""
    try:
        core, settings = CoreSettings(), ApiSettings()
        configure_logging(core, "api")
        gateway = create_app(core, settings)
        app = gateway.state.gateway.realtime.asgi(gateway)
        listening = _listen(settings)
    except (ValueError, RuntimeError) as error:
        sys.exit(f"contactship-api: {explain(error)}")
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    # After a clean stop uvicorn raises the signal again: without a handler that would end as killed, not as 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])


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
