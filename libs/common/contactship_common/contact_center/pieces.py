"""Events as they are stored: each with the key that makes it one, however often it is sent."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a request; `key` is unique within its provider."""

    key: str
    body: bytes


def hashed(*parts: bytes) -> str:
    """A key for what names no id: a hash over its content."""
    return hashlib.sha256(b"\x00".join(parts)).hexdigest()
