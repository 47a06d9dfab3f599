"""What every process does first and last about being observed."""

from contactship_common import faults, tracing
from contactship_common.logs import configure_logging
from contactship_common.settings.core import CoreSettings
from contactship_common.settings.telemetry import TelemetrySettings


def start(core: CoreSettings, process: str) -> None:
    """Logs, traces and reports of errors.

    Raises:
        ValueError: a setting is wrong; says which.
    """
    settings = TelemetrySettings()
    configure_logging(core, process)
    tracing.configure(process, settings, environment=core.environment.value)
    faults.configure(process, settings, environment=core.environment.value)


def stop() -> None:
    """Send what is left; takes at most four seconds."""
    tracing.stop()
    faults.stop()
