"""Messages and codes to send in this process: queued as the gateway does it, sent run by run, looked at in the rows."""

from typing import Any
from uuid import UUID

from contactship_common.contact_center import delivery_reports, sending
from contactship_common.contact_center.delivery_reports import Report
from contactship_common.contact_center.otp_codes import new_nonce
from contactship_common.contact_center.phones import lead_of_phone
from contactship_common.conversations.opening import open_conversation
from contactship_common.conversations.posting import NewMessage, post_message
from contactship_common.models import (
    Channel,
    Delivery,
    Interaction,
    InteractionChannel,
    OtpChallenge,
    OtpPurpose,
    Provider,
    SenderType,
)
from contactship_common.models.base import new_id
from contactship_common.runtime import Runtime
from contactship_common.settings import ContactCenterSettings
from contactship_common.settings.core import Environment
from contactship_common.tasks.catalog import SendDelivery, SettleDelivery
from contactship_common.tasks.runner import Runner
from contactship_common.uow import Context, unit_of_work
from contactship_delivery_worker.handlers.send_delivery import DeliverySettler, MessageSender
from contactship_delivery_worker.senders.base import Sender
from contactship_delivery_worker.senders.build import build_senders
from contactship_devstack.testing import Sql


class Sendings:
    """`environment` holds settings as the environment names them."""

    def __init__(self, runtime: Runtime, sql: Sql, environment: dict[str, str]) -> None:
        self.runtime = runtime
        self.sql = sql
        self._opened: list[Sender] = []
        self._environment = environment
        self.use()

    def use(self, *without: str, environment: Environment = Environment.TEST, **changes: str) -> None:
        """Go on with these settings, as after a restart of the worker."""
        core = self.runtime.settings.model_copy(update={"environment": environment})
        chosen = {name: value for name, value in (self._environment | changes).items() if name not in without}
        self.settings = ContactCenterSettings(**{name.lower(): value for name, value in chosen.items()})
        senders = build_senders(core, self.settings)
        self._opened += senders.values()
        handlers: dict[str, Any] = {
            SendDelivery.KIND: MessageSender(core, self.settings, senders),
            SettleDelivery.KIND: DeliverySettler(),
        }
        self.make_runner = lambda owner: Runner(self.runtime, handlers, owner=owner)
        self.runner = self.make_runner("worker-1")

    async def aclose(self) -> None:
        for sender in self._opened:
            await sender.aclose()

    # What is to be sent.

    async def message(
        self,
        to: str = "+5491155551234",
        text: str = "Hola",
        channel: Channel = Channel.SMS,
        media_url: str | None = None,
    ) -> UUID:
        """A message of an agent to this number, queued; the id of its delivery."""
        async with unit_of_work(self.runtime, Context(actor="tester")) as uow:
            lead_id = await lead_of_phone(uow, to)
            conversation_id, _ = await open_conversation(uow, lead_id, channel)
            new = NewMessage(sender_type=SenderType.AGENT, content_text=text, media_url=media_url)
            posted = await post_message(uow, conversation_id, new)
            assert posted is not None
            message_id = posted.message.id
        [row] = await self.sql("SELECT id FROM deliveries WHERE message_id = %s", message_id)
        return UUID(str(row["id"]))

    async def code(self, to: str = "+5491155551234", *, life: str = "5 minutes", status: str = "PENDING") -> UUID:
        """A code for this number, queued; the id of its delivery."""
        interaction_id, challenge_id = new_id(), new_id()
        async with unit_of_work(self.runtime, Context(actor="tester")) as uow:
            interaction = Interaction(
                id=interaction_id, channel="SMS", direction="OUTBOUND", status="IN_PROGRESS", provider="TWILIO",
                to_number=to, customer_phone=to,
            )  # fmt: skip
            uow.session.add(interaction)
            await uow.session.flush()
            [now] = await self.sql("SELECT now() + %s::interval AS ends", life)
            challenge = OtpChallenge(
                id=challenge_id, phone_e164=to, purpose=OtpPurpose.LOGIN_2FA, nonce=new_nonce(), status=status,
                expires_at=now["ends"], correlation_id=str(challenge_id), requested_by="tester",
                interaction_id=interaction_id,
            )  # fmt: skip
            uow.session.add(challenge)
            await uow.session.flush()
            delivery = Delivery(
                otp_challenge_id=challenge_id,
                interaction_id=interaction_id,
                channel=InteractionChannel.SMS,
                to_number=to,
            )
            await sending.queue(uow, delivery)
            return delivery.id

    async def again(self, delivery_id: UUID) -> UUID:
        """Another sending of the same message, as somebody asks for it."""
        async with unit_of_work(self.runtime, Context(actor="tester")) as uow:
            failed = await uow.session.get(Delivery, delivery_id)
            assert failed is not None
            delivery, _ = await sending.deliver_again(uow, failed)
            return delivery.id

    # What happens to it.

    async def run(self, delivery_id: UUID, kind: str = SendDelivery.KIND) -> dict[str, Any]:
        """Let its task be due, run it once, and return the task."""
        task = await self.task(delivery_id, kind)
        await self.sql("UPDATE tasks SET run_at = now() WHERE id = %s AND status = 'queued'", task["id"])
        await self.runner.run(task["id"])
        return await self.task(delivery_id, kind)

    async def report(self, delivery_id: UUID, status: str, **more: Any) -> bool:
        """What the handler of Twilio's callbacks does with one."""
        async with unit_of_work(self.runtime) as uow:
            return await delivery_reports.apply(uow, delivery_id, Report(status, Provider.TWILIO, **more))

    # What there is.

    async def task(self, delivery_id: UUID, kind: str = SendDelivery.KIND) -> dict[str, Any]:
        """Its newest task of this kind, with `waits`: the seconds from now to its next run."""
        [row] = await self.sql(
            "SELECT *, extract(epoch FROM run_at - now())::float8 AS waits FROM tasks"
            " WHERE subject_id = %s AND kind = %s ORDER BY id DESC LIMIT 1",
            delivery_id,
            kind,
        )
        return row

    async def row(self, delivery_id: UUID) -> dict[str, Any]:
        [row] = await self.sql("SELECT * FROM deliveries WHERE id = %s", delivery_id)
        return row

    async def posted(self, delivery_id: UUID) -> dict[str, Any]:
        """The message of a delivery."""
        [row] = await self.sql(
            "SELECT m.* FROM messages m JOIN deliveries d ON d.message_id = m.id WHERE d.id = %s", delivery_id
        )
        return row

    async def challenge(self, delivery_id: UUID) -> dict[str, Any]:
        """The code of a delivery."""
        [row] = await self.sql(
            "SELECT c.*, i.status AS interaction FROM otp_challenges c JOIN deliveries d ON d.otp_challenge_id = c.id"
            " LEFT JOIN interactions i ON i.id = c.interaction_id WHERE d.id = %s",
            delivery_id,
        )
        return row
