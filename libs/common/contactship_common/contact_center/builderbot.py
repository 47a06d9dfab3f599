"""BuilderBot's webhooks: WhatsApp messages in and out, one or an array of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from contactship_common.contact_center.events import (
    Ignored,
    IncomingMessage,
    NotUnderstood,
    OutgoingMessage,
    Text,
    Understood,
)
from contactship_common.contact_center.media import content_type_of
from contactship_common.contact_center.phones import is_no_person, whatsapp_number
from contactship_common.contact_center.pieces import Piece, hashed
from contactship_common.contact_center.raw import kept
from contactship_common.contact_center.values import LONGEST_TEXT, first_moment, first_text, found, mapping, text, url

INCOMING, OUTGOING = "message.incoming", "message.outgoing"

MOST_EVENTS = 1_000
"""Longer arrays are kept as one entry that is not understood."""

_IDS = ("id", "key.id", "respMessage.key.id", "message_id", "messageId")
_PHONES = ("from", "remoteJid", "phone", "wa_id", "respMessage.key.remoteJid", "key.remoteJid", "key.senderPn", "to")
_TIMES = ("messageTimestamp", "timestamp", "respMessage.messageTimestamp")
_CONTENTS = ("message", "respMessage.message")
_TEXTS = (
    "conversation", "extendedTextMessage.text", "imageMessage.caption", "videoMessage.caption",
    "documentMessage.caption", "documentWithCaptionMessage.message.documentMessage.caption",
)  # fmt: skip
_KINDS = {
    "imageMessage": "image", "stickerMessage": "image", "videoMessage": "video", "audioMessage": "audio",
    "documentMessage": "file",
}  # fmt: skip
# What BuilderBot writes into `body` in place of a text.
_NO_TEXT = "_event_"


def split(body: bytes) -> Iterator[Piece]:
    """Each event of a body by itself."""
    try:
        events = orjson.loads(body)
    except orjson.JSONDecodeError:
        yield Piece(f"builderbot:hash:{hashed(body)}", body)
        return
    each = events if isinstance(events, list) else [events]
    if len(each) > MOST_EVENTS:
        yield Piece(f"builderbot:hash:{hashed(body)}", body)
        return
    for event in each:
        yield Piece(_key(event), orjson.dumps(event))


def _key(event: Any) -> str:
    if isinstance(event, dict):
        name, data = _name(event), mapping(event.get("data")) or event
        if message_id := first_text(data, *_IDS):
            return f"builderbot:{name or 'message'}:{message_id}"
        phone, said, sent = first_text(data, *_PHONES), _said(data, name == OUTGOING), first_text(data, *_TIMES)
        if (phone or said) and sent:
            return f"builderbot:hash:{hashed(*(str(part or '').encode() for part in (name, phone, said, sent)))}"
    return f"builderbot:hash:{hashed(orjson.dumps(event, option=orjson.OPT_SORT_KEYS))}"


def _name(event: Mapping[str, Any]) -> str:
    """The event's name; a bare message has none and is told by what it holds."""
    for value in found(event, "eventName", "event", "type"):
        name = text(value, 100)
        # A bare message's `type` says what kind of message it is.
        if name and ("." in name or isinstance(event.get("data"), Mapping)):
            return name
    data = mapping(event.get("data")) or event
    from_us = any(value is True for value in found(data, "key.fromMe", "fromMe", "respMessage.key.fromMe"))
    if from_us or first_text(data, "answer"):
        return OUTGOING
    return INCOMING if any(found(data, *_PHONES)) else ""


def understand(body: bytes) -> Understood:
    """
    Raises:
        NotUnderstood
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NotUnderstood("not_json", "The body is not JSON") from None
    if not isinstance(told, dict):
        raise NotUnderstood("unknown_payload", "The event is not a JSON object")
    name, data = _name(told), mapping(told.get("data")) or told
    if not name:
        raise NotUnderstood("unknown_payload", "Neither an event's name nor a message's sender is given")
    if name not in (INCOMING, OUTGOING):
        return Understood(Ignored("other_event"), kept(told))
    from_us = any(value is True for value in found(data, "key.fromMe", "fromMe"))
    return Understood(_message(data, outgoing=name == OUTGOING or from_us), kept(told))


def _message(data: Mapping[str, Any], *, outgoing: bool) -> IncomingMessage | OutgoingMessage | Ignored:
    addresses = [told for value in found(data, *_PHONES) if (told := text(value))]
    phone = next(filter(None, map(whatsapp_number, addresses)), None)
    if any(map(is_no_person, addresses)):
        return Ignored("not_a_person")
    if phone is None:
        raise NotUnderstood("no_phone_number", "No phone number of a person is given")
    media, kind = _media(data)
    said = _said(data, outgoing)
    if said is None and not media:
        raise NotUnderstood("empty_message", "The message has neither text nor media")
    message_id = first_text(data, *_IDS, longest=1_000)
    if message_id and len(message_id) > 255:
        message_id = hashed(message_id.encode())
    message = Text(
        phone,
        # What a message has room for is one medium: the others are named.
        "\n".join(filter(None, [said, *media[1:]])) or None,
        content_type_of(media[0] if media else None, kind),
        media[0] if media else None,
        message_id,
        first_moment(data, *_TIMES),
    )
    if outgoing:
        return OutgoingMessage(OUTGOING, message)
    return IncomingMessage(INCOMING, message, name=first_text(data, "name", "pushName"))


def _said(data: Mapping[str, Any], outgoing: bool) -> str | None:
    own = ("answer", "body") if outgoing else ("body",)
    for value in found(data, *own):
        told = text(value, LONGEST_TEXT)
        if told and not told.startswith(_NO_TEXT):
            return told
    for content in found(data, *_CONTENTS):
        if isinstance(content, str):
            return text(content, LONGEST_TEXT)
        if told := first_text(content, *_TEXTS, longest=LONGEST_TEXT):
            return told
    return first_text(data, *_TEXTS, "caption", "text", longest=LONGEST_TEXT)


def _media(data: Mapping[str, Any]) -> tuple[list[str], str | None]:
    """URLs of what is attached, and what the first is said to be."""
    attached = data.get("attachment")
    each = attached if isinstance(attached, list) else [attached]
    urls = [url(value) for value in found(data, "urlTempFile", "media_url", "mediaUrl")]
    urls += [url(mapping(one).get("url") if isinstance(one, Mapping) else one) for one in each]
    kind = next((told for one in each if (told := first_text(one, "mimetype", "mimeType", "type"))), None)
    content = mapping(next(found(data, *_CONTENTS), None))
    kind = kind or next((word for name, word in _KINDS.items() if name in content), None)
    if kind is None and (body := first_text(data, "body")) and body.startswith(_NO_TEXT):
        kind = body
    return [*dict.fromkeys(filter(None, urls))][:20], kind
