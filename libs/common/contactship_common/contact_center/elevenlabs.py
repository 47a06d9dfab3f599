"""ElevenLabs' webhooks: the signed envelope after a call, and the free shapes of webhook tools."""

from collections.abc import Iterator
from typing import Any

import orjson

from contactship_common.contact_center.pieces import Piece, hashed


def split(body: bytes) -> Iterator[Piece]:
    """The one event of a body."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        event = None
    yield Piece(_key(event, body), body)


def _key(event: Any, body: bytes) -> str:
    if isinstance(event, dict):
        data = event.get("data")
        if isinstance(data, dict) and event.get("type") and data.get("conversation_id"):
            return f"elevenlabs:{event['type']}:{data['conversation_id']}"
        for name in ("event_id", "eventId", "id"):
            if isinstance(event.get(name), str | int) and str(event[name]):
                return f"elevenlabs:event:{event[name]}"
    return f"elevenlabs:hash:{hashed(body)}"
