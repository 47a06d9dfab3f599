"""How many codes a number gets and how many guesses are judged. Each decision is one statement on one row, so it is
exact whatever happens in parallel; the row's lock also makes creates and guesses of one number take turns."""

from dataclasses import dataclass

import sqlalchemy as sa

from contactship_api.otp.errors import OtpRateLimited
from contactship_common.models import OtpPurpose
from contactship_common.settings import ContactCenterSettings
from contactship_common.uow import UnitOfWork

# clock_timestamp(): whoever waited for the row judges it by the time it got it.
_OVER = "l.window_started_at <= clock_timestamp() - make_interval(secs => :window)"

_TAKE_CODE = sa.text(f"""
INSERT INTO otp_limits AS l (phone_e164, purpose, window_started_at, sent, wrong)
VALUES (:phone, :purpose, clock_timestamp(), 1, 0)
    ON CONFLICT (phone_e164, purpose) DO UPDATE SET
       window_started_at = CASE WHEN {_OVER} THEN clock_timestamp() ELSE l.window_started_at END,
       sent = CASE WHEN {_OVER} THEN 1 ELSE l.sent + 1 END,
       wrong = CASE WHEN {_OVER} THEN 0 ELSE l.wrong END
 WHERE {_OVER} OR (l.sent < :max_sent AND l.wrong < :max_wrong)
RETURNING l.sent
""")  # noqa: S608  # built from a constant

_SECONDS_LEFT = sa.text("""
SELECT ceil(extract(epoch FROM window_started_at + make_interval(secs => :window) - clock_timestamp()))::int
  FROM otp_limits WHERE phone_e164 = :phone AND purpose = :purpose
""")

_TAKE_GUESS = sa.text(f"""
UPDATE otp_limits AS l SET
       window_started_at = CASE WHEN {_OVER} THEN clock_timestamp() ELSE l.window_started_at END,
       sent = CASE WHEN {_OVER} THEN 0 ELSE l.sent END,
       wrong = CASE WHEN {_OVER} THEN 1 ELSE l.wrong + 1 END
 WHERE phone_e164 = :phone AND purpose = :purpose AND ({_OVER} OR l.wrong < :max_wrong)
RETURNING l.wrong
""")  # noqa: S608  # built from a constant

_GIVE_BACK = sa.text("""
UPDATE otp_limits SET wrong = greatest(wrong - 1, 0) WHERE phone_e164 = :phone AND purpose = :purpose
""")

_GIVE_CODE_BACK = sa.text("""
UPDATE otp_limits SET sent = greatest(sent - 1, 0) WHERE phone_e164 = :phone AND purpose = :purpose
""")


@dataclass(frozen=True, slots=True)
class OtpLimits:
    """The limits of one number and purpose."""

    uow: UnitOfWork
    settings: ContactCenterSettings
    phone: str
    purpose: OtpPurpose | str

    def _values(self) -> dict[str, object]:
        return {
            "phone": self.phone,
            "purpose": str(self.purpose),
            "window": self.settings.otp_rate_limit_window_seconds,
            "max_sent": self.settings.otp_rate_limit_max,
            "max_wrong": self.settings.otp_max_attempts,
        }

    async def take_code(self) -> None:
        """Count one code.

        Raises:
            OtpRateLimited: there were enough in this window, or its guesses are used up.
        """
        session = self.uow.session
        if (await session.execute(_TAKE_CODE, self._values())).first() is None:
            left = (await session.execute(_SECONDS_LEFT, self._values())).scalar_one_or_none()
            raise OtpRateLimited(left or 1)

    async def give_code_back(self) -> None:
        """The code that was counted is not sent."""
        await self.uow.session.execute(_GIVE_CODE_BACK, self._values())

    async def take_guess(self) -> int | None:
        """Count one guess as wrong before it is judged; returns how many are counted now, None: none is left."""
        guess: int | None = (await self.uow.session.execute(_TAKE_GUESS, self._values())).scalar_one_or_none()
        return guess

    async def give_back(self) -> None:
        """The guess was right, or there was nothing to judge."""
        await self.uow.session.execute(_GIVE_BACK, self._values())
