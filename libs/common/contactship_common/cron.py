"""Cron expressions, in UTC."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_OFF = frozenset({"", "off"})
_ONE_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Cron:
    """When something regularly happens. Five fields as in Debian's cron, six with seconds first, or `@weekly` and the
    like; Sunday is 0, 7 or `sun`."""

    text: str

    def previous(self, now: datetime) -> datetime | None:
        """The latest tick that is not after `now`, to the second."""
        return next(CronSim(self._fields, now.astimezone(UTC).replace(microsecond=0) + _ONE_SECOND, reverse=True), None)

    def following(self, now: datetime) -> datetime | None:
        """The first tick after `now`."""
        return next(CronSim(self._fields, now.astimezone(UTC).replace(microsecond=0)), None)

    @property
    def _fields(self) -> str:
        return _NAMED.get(self.text.lower(), self.text)


def parse_cron(text: str) -> Cron | None:
    """The expression, or None for `off` and for nothing.

    Raises:
        ValueError: it is not a cron expression, or no day fits it.
    """
    text = " ".join(text.split())
    if text.lower() in _OFF:
        return None
    cron = Cron(text)
    try:
        first = cron.following(datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"{text!r} is not a cron expression: {str(error).lower()}") from None
    if first is None:
        raise ValueError(f"{text!r} never comes")
    return cron
