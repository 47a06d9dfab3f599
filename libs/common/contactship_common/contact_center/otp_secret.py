"""The secret that codes are derived from."""

from contactship_common.settings.contact_center import DEVELOPMENT_OTP_SECRET, ContactCenterSettings
from contactship_common.settings.core import CoreSettings, Environment

__all__ = ["DEVELOPMENT_OTP_SECRET", "otp_secret"]


def otp_secret(core: CoreSettings, settings: ContactCenterSettings) -> str | None:
    """`OTP_SECRET`; in development and tests a published one stands in. None: there are no codes here."""
    own = settings.otp_secret.get_secret_value()
    if own:
        return own
    return DEVELOPMENT_OTP_SECRET if core.environment in (Environment.DEVELOPMENT, Environment.TEST) else None
