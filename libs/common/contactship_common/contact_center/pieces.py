"""Events as they are stored: each with the key that makes it one, however often it is sent."""

import hashlib
from dataclasses import dataclass

LONGEST_KEY = 512


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a request; `key` is unique within its provider."""

    key: str
    body: bytes

    @property
    def stored_key(self) -> str:
        """The key as its column takes it; cut, two of them could become one."""
        if len(self.key) <= LONGEST_KEY:
            return self.key
        return f"{self.key[:64]}:{hashed(self.key.encode())}"


def hashed(*parts: bytes) -> str:
    """A key for what names no id: a hash over its content."""
    return hashlib.sha256(b"\x00".join(parts)).hexdigest()
