"""Twilio's webhooks: forms about SMS that we sent, and SMS from people."""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from contactship_common.contact_center.events import IncomingMessage, NotUnderstood, SmsStatus, Text, Understood
from contactship_common.contact_center.media import content_type_of
from contactship_common.contact_center.phones import provider_number
from contactship_common.contact_center.pieces import Piece, hashed
from contactship_common.contact_center.raw import kept
from contactship_common.contact_center.values import LONGEST_TEXT, first_text, text, url

_MOST_FIELDS = 1_000

STATUSES = frozenset(
    ["accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed", "canceled", "read"]
)

ERRORS = {
    "21211": "The number is not valid",
    "21408": "Sending to this country is not enabled",
    "21610": "The recipient has unsubscribed",
    "21612": "The number cannot be reached from this sender",
    "21614": "The number is not a mobile number",
    "30001": "The provider's queue is full",
    "30002": "The provider has suspended the account",
    "30003": "The phone is switched off or cannot be reached",
    "30004": "The recipient or their carrier blocks the message",
    "30005": "The number is unknown or no longer exists",
    "30006": "The number is a landline or its carrier cannot be reached",
    "30007": "The carrier filtered the message",
    "30008": "Unknown error of the carrier",
    "30010": "The message costs more than is allowed",
    "30034": "The sender is not registered with the carrier",
    "30410": "The carrier did not answer in time",
    "30500": "Error of the provider",
}
"""Twilio's error codes in words; others are shown by their number."""


def form_of(body: bytes) -> list[tuple[str, str]]:
    """Every field of a form, in order, empty ones too: unknown fields are signed as well. [] if it is no form."""
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError:
        return []


def split(kind: str, form: list[tuple[str, str]], body: bytes) -> Iterator[Piece]:
    """The one event of a form: a status a message, or a message."""
    fields = dict(form)
    sid = _sid(fields)
    if not sid:
        yield Piece(f"twilio:{kind}:{hashed(body)}", body)
    elif kind == "sms_status":
        yield Piece(f"twilio:{sid}:{_status(fields)}", body)
    else:
        yield Piece(f"twilio:{sid}:inbound", body)


def _sid(fields: Mapping[str, str]) -> str | None:
    return first_text(fields, "MessageSid", "SmsSid", "SmsMessageSid")


def _status(fields: Mapping[str, str]) -> str:
    return first_text(fields, "MessageStatus", "SmsStatus", longest=32) or ""


def understand(kind: str, body: bytes, query: Mapping[str, str]) -> Understood:
    """
    Raises:
        NotUnderstood
    """
    fields = dict(form_of(body))
    if not fields:
        raise NotUnderstood("not_a_form", "The body is not a form")
    sid = _sid(fields)
    if sid is None:
        raise NotUnderstood("message_sid_missing", "The form names no MessageSid")
    event = _report(sid, fields, query) if kind == "sms_status" else _message(sid, fields)
    return Understood(event, kept(fields))


def _report(sid: str, fields: Mapping[str, str], query: Mapping[str, str]) -> SmsStatus:
    status = _status(fields).lower()
    if status not in STATUSES:
        raise NotUnderstood("unknown_status", "The form names no MessageStatus that we know")
    code = first_text(fields, "ErrorCode", longest=64)
    code = None if code == "0" else code
    words = ERRORS.get(code or "") or first_text(fields, "ErrorMessage", longest=500) or f"The provider's error {code}"
    return SmsStatus(f"sms.{status}", sid, status, text(query.get("delivery")), code, words if code else None)


def _message(sid: str, fields: Mapping[str, str]) -> IncomingMessage:
    sender = first_text(fields, "From")
    phone = provider_number(sender)
    if phone is None:
        raise NotUnderstood("no_phone_number", "The sender is not a phone number")
    media = [told for n in range(10) if (told := url(fields.get(f"MediaUrl{n}")))]
    said = first_text(fields, "Body", longest=LONGEST_TEXT)
    if said is None and not media:
        raise NotUnderstood("empty_message", "The message has neither text nor media")
    return IncomingMessage(
        "sms.received",
        Text(
            phone,
            # What a message has room for is one medium: the others are named.
            "\n".join(filter(None, [said, *media[1:]])) or None,
            content_type_of(media[0] if media else None, fields.get("MediaContentType0")),
            media[0] if media else None,
            sid,
        ),
        our_number=first_text(fields, "To", longest=20),
    )
