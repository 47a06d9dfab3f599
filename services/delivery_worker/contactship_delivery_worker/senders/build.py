"""Which sender serves which channel here."""

import structlog

from contactship_common.models import InteractionChannel
from contactship_common.settings import ContactCenterSettings, CoreSettings
from contactship_common.settings.core import Environment
from contactship_delivery_worker.senders.base import Sender
from contactship_delivery_worker.senders.builderbot import BuilderBotSender
from contactship_delivery_worker.senders.console import ConsoleSender
from contactship_delivery_worker.senders.twilio import TwilioSender

log = structlog.get_logger()


def build_senders(core: CoreSettings, settings: ContactCenterSettings) -> dict[str, Sender]:
    """By channel. A channel without credentials prints in development; elsewhere it is missing and its sendings fail
    as `not_configured`."""
    senders: dict[str, Sender] = {}
    if settings.twilio_can_send:
        senders[InteractionChannel.SMS] = TwilioSender(settings)
    if settings.builderbot_can_send:
        senders[InteractionChannel.WHATSAPP] = BuilderBotSender(settings)
    for channel in (InteractionChannel.SMS, InteractionChannel.WHATSAPP):
        if channel in senders:
            continue
        if core.environment in (Environment.DEVELOPMENT, Environment.TEST):
            senders[channel] = ConsoleSender(channel)
        else:
            log.warning("sender.not_configured", channel=channel.value)
    return senders
