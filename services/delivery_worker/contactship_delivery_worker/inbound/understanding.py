"""From a stored body to what it says."""

from contactship_common.contact_center import builderbot, elevenlabs, twilio
from contactship_common.contact_center.events import NotUnderstood, Understood
from contactship_delivery_worker.inbound.entries import Entry


def understand(entry: Entry) -> Understood:
    """
    Raises:
        NotUnderstood
    """
    body = entry.body or b""
    match entry.kind:
        case "call":
            return elevenlabs.understand(body)
        case "whatsapp":
            return builderbot.understand(body)
        case "sms_status" | "sms_inbound":
            return twilio.understand(entry.kind, body, entry.query)
    raise NotUnderstood("unknown_kind", "No reader for this kind of webhook")
