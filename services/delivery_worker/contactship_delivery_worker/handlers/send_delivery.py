"""Sends one message or code, never twice."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.contact_center import delivery_reports
from contactship_common.contact_center.delivery_reports import Report
from contactship_common.contact_center.otp_codes import code_of, text_of
from contactship_common.contact_center.otp_secret import otp_secret
from contactship_common.models import (
    Delivery,
    DeliveryState,
    InteractionChannel,
    Message,
    OtpChallenge,
    OtpPurpose,
    OtpStatus,
)
from contactship_common.settings import ContactCenterSettings, CoreSettings
from contactship_common.tasks.catalog import SendDelivery, SettleDelivery
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Done, Permanent, Skip, TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.senders.base import Outgoing, Sender, Sent

STATUS_PATH = "/api/v1/webhooks/twilio/sms/status"
_ARRIVED = (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ)


@dataclass(frozen=True, slots=True, repr=False)  # no repr: it holds a number and a text
class Loaded:
    """What is to be sent. Of a code only its nonce is known here; `work` derives it."""

    delivery_id: str
    channel: str
    to: str
    text: str
    media_url: str | None = None
    nonce: bytes | None = None
    purpose: OtpPurpose | None = None
    life_seconds: int | None = None


class MessageSender(Handler[SendDelivery, Loaded, Sent]):
    def __init__(self, core: CoreSettings, settings: ContactCenterSettings, senders: dict[str, Sender]) -> None:
        self._core = core
        self._settings = settings
        self._senders = senders

    async def load(self, session: AsyncSession, payload: SendDelivery, task: ClaimedTask) -> Loaded | Done | Skip:
        delivery = await session.get(Delivery, payload.delivery_id, with_for_update=True)
        if delivery is None:
            return Skip("what was to be sent has been deleted")
        # SENDING without an error: an earlier run surely did not send it (the provider was away, or asked for time).
        lost = delivery.state == DeliveryState.SENDING and delivery.error_code is not None
        if lost or delivery.state not in (DeliveryState.PENDING, DeliveryState.SENDING):
            return Done({"state": delivery.state})
        loaded = await (
            self._code(session, delivery) if delivery.otp_challenge_id else self._message(session, delivery)
        )
        if isinstance(loaded, Loaded):
            delivery.state = DeliveryState.SENDING
            delivery.sending_at = sa.func.now()  # type: ignore[assignment]
            delivery.updated_at = sa.func.clock_timestamp()  # type: ignore[assignment]
        return loaded

    async def _message(self, session: AsyncSession, delivery: Delivery) -> Loaded | Skip:
        message = await session.get(Message, delivery.message_id)
        if message is None:
            return Skip("what was to be sent has been deleted")
        other = sa.select(sa.literal(1)).where(
            col(Delivery.message_id) == message.id,
            col(Delivery.id) != delivery.id,
            col(Delivery.state).in_(_ARRIVED),
        )
        if (await session.execute(other.limit(1))).first() is not None:
            # Its answer was lost, somebody sent it again, and only now a report came that it had been sent.
            raise Permanent("already_sent", "An earlier sending of this message has turned out well")
        return Loaded(
            str(delivery.id), delivery.channel, delivery.to_number, message.content_text or "", message.media_url
        )

    async def _code(self, session: AsyncSession, delivery: Delivery) -> Loaded | Skip:
        statement = sa.select(
            OtpChallenge, sa.func.extract("epoch", col(OtpChallenge.expires_at) - sa.func.clock_timestamp())
        ).where(col(OtpChallenge.id) == delivery.otp_challenge_id)
        row = (await session.execute(statement)).first()
        if row is None:
            return Skip("what was to be sent has been deleted")
        challenge, left = row
        if challenge.status != OtpStatus.PENDING or left <= 0:
            raise Permanent("otp_outdated", "The code was replaced or expired before it was sent")
        return Loaded(
            str(delivery.id),
            delivery.channel,
            delivery.to_number,
            "",
            nonce=challenge.nonce,
            purpose=OtpPurpose(challenge.purpose),
            life_seconds=int(left),
        )

    async def work(self, payload: SendDelivery, loaded: Loaded) -> Sent:
        sender = self._senders.get(loaded.channel)
        if sender is None:
            raise Permanent("not_configured", "No provider is configured for this channel")
        base = self._settings.public_base_url
        reports = base and loaded.channel == InteractionChannel.SMS
        callback = f"{base}{STATUS_PATH}?delivery={quote(loaded.delivery_id)}" if reports else ""
        text, code = self._text(loaded)
        return await sender.send(Outgoing(loaded.to, text, loaded.media_url, callback, loaded.life_seconds, code))

    def _text(self, loaded: Loaded) -> tuple[str, str]:
        """What to send, and the code in it ("" if there is none)."""
        if loaded.nonce is None or loaded.purpose is None:
            return loaded.text, ""
        secret = otp_secret(self._core, self._settings)
        if secret is None:
            raise Permanent("not_configured", "OTP_SECRET is not set")
        code = code_of(secret, loaded.nonce)
        return text_of(loaded.purpose, code, self._settings.otp_ttl_seconds), code

    async def record(
        self, uow: UnitOfWork, payload: SendDelivery, task: ClaimedTask, loaded: Loaded, result: Sent
    ) -> dict[str, Any]:
        report = Report(
            result.status, result.provider, result.provider_message_id, result.error_code, result.error_message
        )
        await delivery_reports.apply(uow, payload.delivery_id, report)
        return {"provider": result.provider, "status": result.status}

    async def failed(self, uow: UnitOfWork, payload: SendDelivery, task: ClaimedTask, error: TaskError) -> None:
        # An intent that an earlier run left behind: whatever ends the task now, that run may have sent it.
        if error.code == delivery_reports.UNKNOWN or task.intent_at is not None:
            if await delivery_reports.answer_lost(uow, payload.delivery_id):
                # The provider's callback or echo gets its time to settle it.
                wait = self._settings.delivery_unknown_after
                uow.enqueue(SettleDelivery(delivery_id=payload.delivery_id), delay_seconds=wait)
        else:
            await delivery_reports.fail(uow, payload.delivery_id, error.code, error.message)


class DeliverySettler(Handler[SettleDelivery, None, None]):
    """Ends a sending whose answer never came."""

    async def load(self, session: AsyncSession, payload: SettleDelivery, task: ClaimedTask) -> None:
        """Everything happens in `record`."""

    async def work(self, payload: SettleDelivery, loaded: None) -> None:
        """Nothing outside the database."""

    async def record(
        self, uow: UnitOfWork, payload: SettleDelivery, task: ClaimedTask, loaded: None, result: None
    ) -> dict[str, Any]:
        return {"unknown": await delivery_reports.settle_unknown(uow, payload.delivery_id)}
