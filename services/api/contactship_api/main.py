"""`contactship-api`: one process of the gateway."""

import sys

import uvicorn

from contactship_api.app import create_app
from contactship_common.logs import configure_logging
from contactship_common.settings import ApiSettings, CoreSettings
from contactship_common.tasks.worker import explain

_KEEP_ALIVE_SECONDS = 75  # longer than the usual proxy's, so that the proxy closes first
_SHUTDOWN_SECONDS = 35  # a held `?wait=30` may finish


def main() -> None:
    """A wrong setting is one clear line and exit status 1."""
    try:
        core, settings = CoreSettings(), ApiSettings()
        configure_logging(core, "api")
        app = create_app(core, settings)
    except ValueError as error:
        sys.exit(f"contactship-api: {explain(error)}")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
