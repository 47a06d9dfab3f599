"""Every setting of every process, read from environment variables.

One group a file; a process loads the groups it needs. `docs/reference/configuration.md` and `.env.example` are
generated from these classes, so a setting is described in one place.
"""

from contactship_common.settings.ai import AISettings
from contactship_common.settings.api import ApiSettings
from contactship_common.settings.contact_center import ContactCenterSettings
from contactship_common.settings.core import CoreSettings, Environment
from contactship_common.settings.delivery import DeliverySettings
from contactship_common.settings.explain import explain
from contactship_common.settings.sync import SyncSettings
from contactship_common.settings.telemetry import TelemetrySettings
from contactship_common.settings.workers import WorkerSettings

__all__ = [
    "AISettings",
    "ApiSettings",
    "ContactCenterSettings",
    "CoreSettings",
    "DeliverySettings",
    "Environment",
    "SyncSettings",
    "TelemetrySettings",
    "WorkerSettings",
    "explain",
]
