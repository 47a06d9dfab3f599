"""Asking for a code."""

from datetime import timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.otp import interactions
from contactship_api.otp.errors import OtpNotConfigured
from contactship_api.otp.limits import OtpLimits, take_turn
from contactship_api.otp.phones import check_prefix, mobile_number
from contactship_api.otp.schemas import OtpCreate, OtpCreated
from contactship_common.contact_center import sending
from contactship_common.contact_center.otp_codes import new_nonce
from contactship_common.contact_center.otp_secret import otp_secret
from contactship_common.errors import OtpCorrelationConflict
from contactship_common.models import (
    Delivery,
    Direction,
    Interaction,
    InteractionChannel,
    InteractionStatus,
    Lead,
    LeadPhone,
    OtpChallenge,
    OtpStatus,
    Provider,
)
from contactship_common.models.contact_center import LIVE_CODES
from contactship_common.settings import ContactCenterSettings
from contactship_common.uow import UnitOfWork

_ON_ITS_WAY = "The code is on its way."
_OVER = "This correlationId stands for a code that is not good any more; ask for a new one under another correlationId."


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
    if body.correlation_id is not None:
        await take_turn(uow, "correlation", body.correlation_id)
        known = await _known(uow, body.correlation_id, phone, body)
        if known is not None:
            return known, False
    await check_prefix(uow, phone)
    # From here on, creates and guesses of this number and purpose take turns.
    await OtpLimits(uow, settings, phone, body.purpose).take_code()
    challenge = await _new(uow, settings, body, phone)
    delivery = Delivery(
        otp_challenge_id=challenge.id,
        interaction_id=challenge.interaction_id,
        channel=InteractionChannel.SMS,
        to_number=phone,
        requested_by=uow.context.actor,
    )
    await sending.queue(uow, delivery)
    uow.audit("otp.create", "otp", challenge.id, purpose=body.purpose)
    return _created(challenge, _ON_ITS_WAY), True


async def _new(uow: UnitOfWork, settings: ContactCenterSettings, body: OtpCreate, phone: str) -> OtpChallenge:
    """The challenge with its interaction, in the place of the one before."""
    session = uow.session
    interaction = Interaction(
        channel=InteractionChannel.SMS,
        direction=Direction.OUTBOUND,
        status=InteractionStatus.IN_PROGRESS,
        to_number=phone,
        customer_phone=phone,
        provider=Provider.TWILIO,
        intent=f"otp:{body.purpose}",
        lead_id=await _lead(uow, phone),
    )
    session.add(interaction)
    await session.flush()
    await _replace(uow, phone, body)
    now = (await session.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    challenge = OtpChallenge(
        phone_e164=phone,
        purpose=body.purpose,
        nonce=new_nonce(),
        expires_at=now + timedelta(seconds=settings.otp_ttl_seconds),
        correlation_id=body.correlation_id or str(uuid4()),
        requested_by=uow.context.actor,
        interaction_id=interaction.id,
    )
    session.add(challenge)
    await session.flush()
    return challenge


async def _lead(uow: UnitOfWork, phone: str) -> UUID | None:
    """Who has this number; not deleted before the interaction that names them is stored."""
    wanted = (
        sa.select(col(Lead.id))
        .join(LeadPhone, col(LeadPhone.lead_id) == col(Lead.id))
        .where(col(LeadPhone.phone_e164) == phone)
        .with_for_update(read=True, key_share=True, of=Lead)
    )
    lead_id: UUID | None = (await uow.session.execute(wanted)).scalar_one_or_none()
    return lead_id


async def _replace(uow: UnitOfWork, phone: str, body: OtpCreate) -> None:
    """End the live code of this number and purpose, if there is one."""
    live = sa.update(OtpChallenge).where(
        col(OtpChallenge.phone_e164) == phone,
        col(OtpChallenge.purpose) == body.purpose,
        col(OtpChallenge.status).in_(LIVE_CODES),
    )
    ended = live.values(status=OtpStatus.EXPIRED, updated_at=sa.func.clock_timestamp())
    for interaction_id in (
        (await uow.session.execute(ended.returning(col(OtpChallenge.interaction_id)))).scalars().all()
    ):
        await interactions.end(uow, interaction_id, InteractionStatus.ABANDONED)


async def _known(uow: UnitOfWork, correlation_id: str, phone: str, body: OtpCreate) -> OtpCreated | None:
    statement = sa.select(OtpChallenge, col(OtpChallenge.expires_at) > sa.func.clock_timestamp())
    row = (await uow.session.execute(statement.where(col(OtpChallenge.correlation_id) == correlation_id))).first()
    if row is None:
        return None
    challenge, in_time = row
    same = (challenge.phone_e164, challenge.purpose) == (phone, body.purpose)
    if not same or challenge.requested_by != uow.context.actor:
        raise OtpCorrelationConflict
    return _created(challenge, _ON_ITS_WAY if in_time and challenge.status in LIVE_CODES else _OVER)


def _created(challenge: OtpChallenge, message: str) -> OtpCreated:
    return OtpCreated(
        correlation_id=challenge.correlation_id,
        interaction_id=challenge.interaction_id,
        expires_at=challenge.expires_at,
        message=message,
    )
