"""BuilderBot's webhooks: WhatsApp messages in and out, one or an array of them."""

from collections.abc import Iterator
from typing import Any

import orjson

from contactship_common.contact_center.pieces import Piece, hashed


def split(body: bytes) -> Iterator[Piece]:
    """Each event of a body by itself."""
    try:
        events = orjson.loads(body)
    except orjson.JSONDecodeError:
        yield Piece(f"builderbot:hash:{hashed(body)}", body)
        return
    for event in events if isinstance(events, list) else [events]:
        raw = orjson.dumps(event)
        yield Piece(_key(event, raw), raw)


def _key(event: Any, raw: bytes) -> str:
    data = event.get("data", event) if isinstance(event, dict) else None
    if isinstance(data, dict):
        for path in (("id",), ("key", "id"), ("respMessage", "key", "id"), ("message_id",)):
            value: Any = data
            for name in path:
                value = value.get(name) if isinstance(value, dict) else None
            if isinstance(value, str | int) and str(value):
                return f"builderbot:{value}"
    return f"builderbot:hash:{hashed(raw)}"
