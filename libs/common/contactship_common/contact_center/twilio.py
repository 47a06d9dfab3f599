"""Twilio's webhooks: forms about SMS that we sent, and SMS from people."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from contactship_common.contact_center.pieces import Piece, hashed

_MOST_FIELDS = 1_000


def form_of(body: bytes) -> list[tuple[str, str]]:
    """Every field of a form, in order, empty ones too: unknown fields are signed as well. [] if it is no form."""
    try:
        return parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="surrogateescape"
        )
    except ValueError:
        return []


def split(kind: str, form: list[tuple[str, str]], body: bytes) -> Iterator[Piece]:
    """The one event of a form: a status a message, or a message."""
    fields = dict(form)
    sid = fields.get("MessageSid") or fields.get("SmsSid")
    if not sid:
        yield Piece(f"twilio:{kind}:{hashed(body)}", body)
    elif kind == "sms_status":
        yield Piece(f"twilio:{sid}:{fields.get('MessageStatus') or fields.get('SmsStatus') or ''}", body)
    else:
        yield Piece(f"twilio:{sid}:inbound", body)
