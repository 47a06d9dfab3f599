"""Which numbers get codes: real, mobile, of an allowed country, and not of a prefix that is being pumped."""

import phonenumbers
import sqlalchemy as sa
from phonenumbers import PhoneNumberType
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.otp.errors import CountryNotAllowed, OtpRateLimited, PhoneInvalid, PhoneNotMobile
from contactship_common.models import OtpChallenge, OtpStatus
from contactship_common.settings import ContactCenterSettings

_GETS_CODES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.PERSONAL_NUMBER})
PREFIX_SENT = 20
PREFIX_VERIFIED_AT_LEAST = 0.1
PREFIX_SECONDS = 3_600


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
    if settings.otp_countries and phonenumbers.region_code_for_number(number) not in settings.otp_countries:
        raise CountryNotAllowed
    if phonenumbers.number_type(number) not in _GETS_CODES:
        raise PhoneNotMobile
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


async def check_prefix(session: AsyncSession, phone_e164: str) -> None:
    """A prefix (the number without its last four digits) that got 20 codes or more within the last hour and verified
    under 10 % of them gets none: somebody earns money with SMS.

    Raises:
        OtpRateLimited: until enough of them are an hour old.
    """
    age = sa.func.extract("epoch", sa.func.now() - sa.func.min(col(OtpChallenge.created_at)))
    statement = sa.select(
        sa.func.count(), sa.func.count().filter(col(OtpChallenge.status) == OtpStatus.VERIFIED), age
    ).where(
        col(OtpChallenge.phone_prefix) == phone_e164[:-4],
        col(OtpChallenge.created_at) > sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, PREFIX_SECONDS),
    )
    sent, verified, oldest_seconds = (await session.execute(statement)).one()
    if sent >= PREFIX_SENT and verified < PREFIX_VERIFIED_AT_LEAST * sent:
        raise OtpRateLimited(int(PREFIX_SECONDS - float(oldest_seconds)) + 1, "Too many codes for such numbers; wait")
