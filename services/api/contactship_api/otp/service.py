"""Asking for a code and checking it."""

import hmac
from datetime import timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.otp.errors import (
    OtpExpired,
    OtpInvalid,
    OtpLocked,
    OtpNotConfigured,
    OtpNotFound,
    OtpUsed,
)
from contactship_api.otp.limits import OtpLimits
from contactship_api.otp.phones import check_prefix, mobile_number
from contactship_api.otp.schemas import OtpCreate, OtpCreated, OtpVerified, OtpVerify
from contactship_common.contact_center import sending
from contactship_common.contact_center.otp_codes import code_of, new_nonce
from contactship_common.contact_center.otp_secret import otp_secret
from contactship_common.errors import OtpCorrelationConflict
from contactship_common.models import (
    Delivery,
    Direction,
    Interaction,
    InteractionChannel,
    InteractionStatus,
    LeadPhone,
    OtpChallenge,
    OtpStatus,
    Outcome,
    Provider,
)
from contactship_common.outbound.events import publish
from contactship_common.settings import ContactCenterSettings
from contactship_common.uow import UnitOfWork

_LIVE = (OtpStatus.PENDING, OtpStatus.SENT)
_ON_ITS_WAY = "The code is on its way."
_NOBODY = "+0"


async def create(uow: UnitOfWork, settings: ContactCenterSettings, body: OtpCreate) -> tuple[OtpCreated, bool]:
    """A new code, on its way by SMS; or the challenge that this correlationId stands for already. And whether it is
    new. An older live code of the number and purpose is replaced.

    Raises:
        PhoneInvalid, PhoneNotMobile, CountryNotAllowed
        OtpCorrelationConflict: the correlationId stands for another phone, purpose or caller.
        OtpRateLimited
        OtpNotConfigured
    """
    if otp_secret(uow.runtime.settings, settings) is None:
        raise OtpNotConfigured
    phone = mobile_number(settings, body.phone)
    correlation_id = body.correlation_id or str(uuid4())
    known = await _known(uow, correlation_id, phone, body)
    if known is not None:
        return known, False
    session = uow.session
    await check_prefix(session, phone)
    # From here on, creates and guesses of this number and purpose take turns.
    limits = OtpLimits(uow, settings, phone, body.purpose)
    await limits.take_code()
    # The same correlationId twice at once: the other one is committed by now.
    known = await _known(uow, correlation_id, phone, body)
    if known is not None:
        await limits.give_code_back()
        return known, False
    replaced = sa.update(OtpChallenge).where(
        col(OtpChallenge.phone_e164) == phone,
        col(OtpChallenge.purpose) == body.purpose,
        col(OtpChallenge.status).in_(_LIVE),
    )
    await session.execute(replaced.values(status=OtpStatus.EXPIRED, updated_at=sa.func.clock_timestamp()))
    lead = sa.select(col(LeadPhone.lead_id)).where(col(LeadPhone.phone_e164) == phone)
    interaction = Interaction(
        channel=InteractionChannel.SMS,
        direction=Direction.OUTBOUND,
        status=InteractionStatus.IN_PROGRESS,
        to_number=phone,
        customer_phone=phone,
        provider=Provider.TWILIO,
        intent=f"otp:{body.purpose}",
        lead_id=(await session.execute(lead)).scalar_one_or_none(),
    )
    session.add(interaction)
    await session.flush()
    now = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    challenge = OtpChallenge(
        phone_e164=phone,
        purpose=body.purpose,
        nonce=new_nonce(),
        expires_at=now + timedelta(seconds=settings.otp_ttl_seconds),
        correlation_id=correlation_id,
        requested_by=uow.context.actor,
        interaction_id=interaction.id,
    )
    session.add(challenge)
    await session.flush()
    delivery = Delivery(
        otp_challenge_id=challenge.id,
        interaction_id=interaction.id,
        channel=InteractionChannel.SMS,
        to_number=phone,
        requested_by=uow.context.actor,
    )
    await sending.queue(uow, delivery)
    uow.audit("otp.create", "otp", challenge.id, purpose=body.purpose)
    return _created(challenge), True


async def _known(uow: UnitOfWork, correlation_id: str, phone: str, body: OtpCreate) -> OtpCreated | None:
    statement = sa.select(OtpChallenge).where(col(OtpChallenge.correlation_id) == correlation_id)
    challenge = (await uow.session.execute(statement)).scalar_one_or_none()
    if challenge is None:
        return None
    same = (challenge.phone_e164, challenge.purpose) == (phone, body.purpose)
    if not same or challenge.requested_by != uow.context.actor:
        raise OtpCorrelationConflict
    return _created(challenge)


def _created(challenge: OtpChallenge) -> OtpCreated:
    return OtpCreated(
        correlation_id=challenge.correlation_id,
        interaction_id=challenge.interaction_id,
        expires_at=challenge.expires_at,
        message=_ON_ITS_WAY,
    )


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
    phone, purpose = (first.phone_e164, first.purpose) if first else (_NOBODY, "LOGIN_2FA")
    limits = OtpLimits(uow, settings, phone, purpose)
    guess = await limits.take_guess()
    if first is not None and guess is None:
        uow.audit("otp.refused", "otp", first.id, code=OtpLocked.code)
        raise OtpLocked
    current = wanted.with_for_update().execution_options(populate_existing=True)
    challenge = (await session.execute(current)).scalar_one_or_none()
    expected = code_of(secret, challenge.nonce if challenge else bytes(16))
    right = hmac.compare_digest(expected.encode(), body.otp.encode())
    now = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    refusal = _refusal(challenge, now)
    if challenge is None or refusal is not None:
        await limits.give_back()
        if isinstance(refusal, OtpExpired) and challenge is not None and challenge.status in _LIVE:
            challenge.status = OtpStatus.EXPIRED
        refused = refusal or OtpNotFound()
        uow.audit("otp.refused", "otp", challenge.id if challenge else None, code=refused.code)
        raise refused
    if not right:
        if guess is not None and guess >= settings.otp_max_attempts:
            challenge.status = OtpStatus.LOCKED
        challenge.updated_at = now
        uow.audit("otp.refused", "otp", challenge.id, code=OtpInvalid.code, locked=challenge.status == OtpStatus.LOCKED)
        raise OtpInvalid
    await limits.give_back()
    challenge.status, challenge.verified_at, challenge.updated_at = OtpStatus.VERIFIED, now, now
    await _complete(uow, challenge)
    uow.audit("otp.verify", "otp", challenge.id)
    told = {"correlationId": challenge.correlation_id, "purpose": challenge.purpose, "verifiedAt": now.isoformat()}
    await publish(uow, "otp.verified", told)
    return OtpVerified(correlation_id=challenge.correlation_id, verified_at=now)


def _refusal(challenge: OtpChallenge | None, now: Any) -> OtpExpired | OtpUsed | OtpLocked | OtpNotFound | None:
    """Why there is nothing to judge."""
    if challenge is None:
        return OtpNotFound()
    if challenge.status == OtpStatus.VERIFIED:
        return OtpUsed()
    if challenge.status == OtpStatus.LOCKED:
        return OtpLocked()
    if challenge.status not in _LIVE or challenge.expires_at <= now:
        return OtpExpired()
    return None


async def _complete(uow: UnitOfWork, challenge: OtpChallenge) -> None:
    done = sa.update(Interaction).where(col(Interaction.id) == challenge.interaction_id)
    await uow.session.execute(
        done.values(
            status=InteractionStatus.COMPLETED,
            outcome=Outcome.RESOLVED,
            ended_at=sa.func.clock_timestamp(),
            updated_at=sa.func.clock_timestamp(),
        )
    )
