"""How callbacks and outbound webhooks are sent."""

from pydantic import field_validator

from contactship_common.settings.fields import SettingsGroup, setting


class DeliverySettings(SettingsGroup):
    """Patience with receivers."""

    outbound_timeout: float = setting(
        15.0, "OUTBOUND_TIMEOUT", unit="seconds", gt=0, le=50, about="For one attempt, from looking up the name to end."
    )
    outbound_retry_schedule: str = setting(
        "5,300,1800,7200,18000,36000,36000",
        "OUTBOUND_RETRY_SCHEDULE",
        unit="seconds",
        about="Waits after the first, second, … failed attempt, each ± 20 %; after the last one the delivery has "
        "failed. A longer `Retry-After` of the receiver is honoured, up to a day.",
    )

    @field_validator("outbound_retry_schedule")
    @classmethod
    def _check_schedule(cls, text: str) -> str:
        _waits(text)
        return text

    @property
    def retry_waits(self) -> tuple[float, ...]:
        """Seconds after each failed attempt."""
        return _waits(self.outbound_retry_schedule)


def _waits(text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = (-1.0,)
    if not all(0 <= wait <= 7 * 86_400 for wait in found):
        raise ValueError("must be seconds separated by commas, such as 5,300,1800, none above a week")
    return found
