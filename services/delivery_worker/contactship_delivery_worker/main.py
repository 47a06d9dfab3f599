"""`contactship-delivery-worker`: SMS, WhatsApp and outbound webhooks."""

from contextlib import AsyncExitStack

from contactship_common.outbound.client import OutboundClient
from contactship_common.runtime import Runtime
from contactship_common.settings import ContactCenterSettings, DeliverySettings, WorkerSettings
from contactship_common.tasks.catalog import DeliverOutbound, HandleWebhook, SendDelivery, SettleDelivery
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.worker import run_worker
from contactship_delivery_worker.handlers.deliver_outbound import DeliverOverHttp
from contactship_delivery_worker.handlers.handle_webhook import WebhookHandler
from contactship_delivery_worker.handlers.send_delivery import DeliverySettler, MessageSender
from contactship_delivery_worker.lanes import Lanes
from contactship_delivery_worker.senders.build import build_senders

THREADS = 64
_ATTEMPTS_PER_RECEIVER = 8


def make_handlers(runtime: Runtime, stack: AsyncExitStack) -> dict[str, AnyHandler]:
    """The handlers of the `delivery` queue, by kind."""
    settings = DeliverySettings()
    client = OutboundClient(allow=runtime.settings.outbound_networks, timeout_seconds=settings.outbound_timeout)
    stack.push_async_callback(client.aclose)
    # The other half of the threads is for codes and messages to people, however slow receivers are.
    in_all = max(1, (WorkerSettings().worker_concurrency or THREADS) // 2)
    lanes = Lanes(per_receiver=min(_ATTEMPTS_PER_RECEIVER, in_all), in_all=in_all)
    contact_center = ContactCenterSettings()
    senders = build_senders(runtime.settings, contact_center)
    for sender in senders.values():
        stack.push_async_callback(sender.aclose)
    return {
        DeliverOutbound.KIND: DeliverOverHttp(client, runtime.settings, settings, lanes),
        SendDelivery.KIND: MessageSender(runtime.settings, contact_center, senders),
        SettleDelivery.KIND: DeliverySettler(),
        HandleWebhook.KIND: WebhookHandler(contact_center),
    }


def main() -> None:
    run_worker("delivery", make_handlers, default_threads=THREADS)
