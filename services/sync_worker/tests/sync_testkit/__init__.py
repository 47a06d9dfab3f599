"""Lead sources as tests run them: a vendor over HTTP, the real handlers, the real task engine."""

from contactship_devstack.polling import until
from sync_testkit.sources import NO_WAITS, open_source
from sync_testkit.syncs import Syncs

__all__ = ["NO_WAITS", "Syncs", "open_source", "until"]
