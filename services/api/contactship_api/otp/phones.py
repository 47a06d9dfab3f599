"""Which numbers get codes: real, mobile, of an allowed country, and not of a prefix that is being pumped."""

import phonenumbers
import sqlalchemy as sa
from phonenumbers import PhoneNumberType

from contactship_api.otp.errors import CountryNotAllowed, OtpRateLimited, PhoneInvalid, PhoneNotMobile
from contactship_api.otp.limits import take_turn
from contactship_common.settings import ContactCenterSettings
from contactship_common.uow import UnitOfWork

_GETS_CODES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_NO_COUNTRY = phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
"""Satellite phones and the like, whose SMS cost most of all."""

PREFIX_DIGITS = 4
"""The last ones, which are not part of the prefix; `otp_challenges.phone_prefix` leaves out as many."""
PREFIX_SENT = 20
PREFIX_VERIFIED_PERCENT = 10
PREFIX_SECONDS = 3_600

# The hour before the newest code, not before now: else the pause would end as soon as the first of them is an hour old.
OF_PREFIX = sa.text("""
WITH newest AS MATERIALIZED (
     SELECT max(created_at) AS at FROM otp_challenges
      WHERE phone_prefix = :prefix AND created_at > clock_timestamp() - make_interval(secs => :pause))
SELECT count(*) AS sent, count(*) FILTER (WHERE status = 'VERIFIED') AS verified,
       ceil(extract(epoch FROM newest.at + make_interval(secs => :pause) - clock_timestamp()))::int AS seconds_left
  FROM newest JOIN otp_challenges ON created_at > newest.at - make_interval(secs => :pause)
 WHERE phone_prefix = :prefix
 GROUP BY newest.at
""")


def mobile_number(settings: ContactCenterSettings, text: str) -> str:
    """The number in E.164.

    Raises:
        PhoneInvalid, PhoneNotMobile, CountryNotAllowed
    """
    try:
        number = phonenumbers.parse(text, settings.default_region or None)
    except phonenumbers.NumberParseException:
        raise PhoneInvalid from None
    if not phonenumbers.is_valid_number(number):
        raise PhoneInvalid
    region = phonenumbers.region_code_for_number(number)
    if region == _NO_COUNTRY or (settings.otp_countries and region not in settings.otp_countries):
        raise CountryNotAllowed
    if phonenumbers.number_type(number) not in _GETS_CODES:
        raise PhoneNotMobile
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


async def check_prefix(uow: UnitOfWork, phone_e164: str) -> None:
    """A prefix (the number without its last four digits) for which 20 codes or more were asked within an hour and
    under 10 % of them verified gets none for an hour after the last one: somebody earns money with SMS. Creates of one
    prefix take turns from here on, so that parallel ones do not slip past.

    Raises:
        OtpRateLimited: until that hour is over.
    """
    prefix = phone_e164[:-PREFIX_DIGITS]
    await take_turn(uow, "prefix", prefix)
    values = {"prefix": prefix, "pause": PREFIX_SECONDS}
    row = (await uow.session.execute(OF_PREFIX, values)).first()
    # In whole numbers: 0.1 * 30 is more than 3.
    if row is not None and row.sent >= PREFIX_SENT and row.verified * 100 < row.sent * PREFIX_VERIFIED_PERCENT:
        raise OtpRateLimited(row.seconds_left, "Too many codes for such numbers; wait")
