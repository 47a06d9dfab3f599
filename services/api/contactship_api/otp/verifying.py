"""Checking a code."""

import hmac
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.otp import interactions
from contactship_api.otp.errors import (
    OtpExpired,
    OtpInvalid,
    OtpLocked,
    OtpNotConfigured,
    OtpNotFound,
    OtpRefused,
    OtpUsed,
)
from contactship_api.otp.limits import OtpLimits
from contactship_api.otp.schemas import OtpVerified, OtpVerify
from contactship_common.contact_center.otp_codes import NONCE_BYTES, code_of
from contactship_common.contact_center.otp_secret import otp_secret
from contactship_common.models import InteractionStatus, OtpChallenge, OtpPurpose, OtpStatus
from contactship_common.models.contact_center import LIVE_CODES
from contactship_common.outbound.events import publish
from contactship_common.settings import ContactCenterSettings
from contactship_common.uow import UnitOfWork

_NOBODY = ("+0", OtpPurpose.LOGIN_2FA)


async def verify(uow: UnitOfWork, settings: ContactCenterSettings, body: OtpVerify) -> OtpVerified:
    """Judge one guess. It is counted first, by one conditional update that also makes guesses take turns; a right one
    is given back. Unknown ids take the same steps as wrong codes.

    Raises:
        OtpInvalid, OtpExpired, OtpLocked, OtpUsed, OtpNotFound
        OtpNotConfigured
    """
    secret = otp_secret(uow.runtime.settings, settings)
    if secret is None:
        raise OtpNotConfigured
    session = uow.session
    wanted = sa.select(OtpChallenge).where(col(OtpChallenge.correlation_id) == body.correlation_id)
    first = (await session.execute(wanted)).scalar_one_or_none()
    phone, purpose = (first.phone_e164, first.purpose) if first else _NOBODY
    limits = OtpLimits(uow, settings, phone, purpose)
    guess = await limits.take_guess()
    if first is not None and guess is None:
        refused = _ended(first) or OtpLocked()
        uow.audit("otp.refused", "otp", first.id, code=refused.code)
        raise refused
    current = wanted.with_for_update().execution_options(populate_existing=True)
    challenge = (await session.execute(current)).scalar_one_or_none()
    expected = code_of(secret, challenge.nonce if challenge else bytes(NONCE_BYTES))
    right = hmac.compare_digest(expected.encode(), body.otp.encode())
    now: datetime = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    if challenge is None:
        uow.audit("otp.refused", "otp", code=OtpNotFound.code)
        raise OtpNotFound
    nothing_to_judge = _ended(challenge) or (OtpExpired() if challenge.expires_at <= now else None)
    if nothing_to_judge is not None:
        await limits.give_back()
        if challenge.status in LIVE_CODES:
            challenge.status, challenge.updated_at = OtpStatus.EXPIRED, now
            await interactions.end(uow, challenge.interaction_id, InteractionStatus.ABANDONED)
        uow.audit("otp.refused", "otp", challenge.id, code=nothing_to_judge.code)
        raise nothing_to_judge
    if not right:
        locks = guess is not None and guess >= settings.otp_max_attempts
        if locks:
            challenge.status, challenge.updated_at = OtpStatus.LOCKED, now
            await interactions.end(uow, challenge.interaction_id, InteractionStatus.FAILED)
        uow.audit("otp.refused", "otp", challenge.id, code=OtpInvalid.code, locked=locks)
        raise OtpInvalid
    await limits.give_back()
    return await _verified(uow, challenge, now)


def _ended(challenge: OtpChallenge) -> OtpRefused | None:
    """Why there is nothing to judge, whatever the time."""
    if challenge.status in LIVE_CODES:
        return None
    if challenge.status == OtpStatus.VERIFIED:
        return OtpUsed()
    return OtpLocked() if challenge.status == OtpStatus.LOCKED else OtpExpired()


async def _verified(uow: UnitOfWork, challenge: OtpChallenge, now: datetime) -> OtpVerified:
    challenge.status, challenge.verified_at, challenge.updated_at = OtpStatus.VERIFIED, now, now
    await interactions.end(uow, challenge.interaction_id, InteractionStatus.COMPLETED)
    uow.audit("otp.verify", "otp", challenge.id)
    told = {"correlationId": challenge.correlation_id, "purpose": challenge.purpose, "verifiedAt": now.astimezone(UTC)}
    await publish(uow, "otp.verified", told)
    return OtpVerified(correlation_id=challenge.correlation_id, verified_at=now)
