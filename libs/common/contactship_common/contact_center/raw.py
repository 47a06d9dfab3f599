"""What is kept of an event besides its meaning: as it came, without secrets, audio, and what cannot be stored."""

import math
import re
from collections.abc import Mapping
from typing import Any

from contactship_common.contact_center.values import storable

_SECRET = re.compile(
    r"token|secret|passw|authori[sz]ation|api_?-?key|signature|credential|cookie|private_?key", re.IGNORECASE
)
_AUDIO = frozenset({"full_audio", "audio_base64", "audio", "audio_data"})
_LONGEST = 100_000
_DEEPEST = 32
_MOST_ITEMS = 5_000


def kept(value: Any, depth: int = 0) -> Any:
    """`value` as JSON that the database takes. What is left out says so."""
    if isinstance(value, str):
        if len(value) > _LONGEST:
            return f"[{len(value)} characters left out]"
        return storable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _DEEPEST and isinstance(value, list | Mapping):
        return "[nested too deeply]"
    if isinstance(value, list):
        return [kept(item, depth + 1) for item in value[:_MOST_ITEMS]]
    if isinstance(value, Mapping):
        return {storable(name)[:255]: _member(name, item, depth) for name, item in [*value.items()][:_MOST_ITEMS]}
    return value


def _member(name: str, value: Any, depth: int) -> Any:
    if _SECRET.search(name) and value is not None and not isinstance(value, bool | int | float | list | Mapping):
        return "[removed]"
    if name.lower() in _AUDIO and isinstance(value, str):
        return f"[{len(value)} characters of audio left out]"
    return kept(value, depth + 1)
