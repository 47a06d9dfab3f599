"""How many codes a number gets and how many guesses are judged. Each decision is one statement on one row, so it is
exact whatever happens in parallel; the row's lock also makes creates and guesses of one number take turns."""

from dataclasses import dataclass
from typing import Literal

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

# Only a new code starts a new window: a code that lives across the end of one is not guessed at twice as often.
_TAKE_GUESS = sa.text("""
UPDATE otp_limits SET wrong = wrong + 1
 WHERE phone_e164 = :phone AND purpose = :purpose AND wrong < :max_wrong
RETURNING wrong
""")

_GIVE_BACK = sa.text("""
UPDATE otp_limits SET wrong = greatest(wrong - 1, 0) WHERE phone_e164 = :phone AND purpose = :purpose
""")

_TURN = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 4243))")


async def take_turn(uow: UnitOfWork, kind: Literal["correlation", "prefix"], name: str) -> None:
    """Whoever is about the same name waits until this transaction has ended. Taken in the order of the kinds, and
    before any row is locked."""
    await uow.session.execute(_TURN, {"name": f"{kind}:{name}"})


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

    async def take_guess(self) -> int | None:
        """Count one guess as wrong before it is judged; returns how many are counted now, None: none is left."""
        guess: int | None = (await self.uow.session.execute(_TAKE_GUESS, self._values())).scalar_one_or_none()
        return guess

    async def give_back(self) -> None:
        """The guess was right, or there was nothing to judge."""
        await self.uow.session.execute(_GIVE_BACK, self._values())
