"""Refresh tokens: `{family}.{generation}.{HMAC(key, family ‖ generation)}`.

Nothing secret is stored: whoever has the key can compute the token of any generation, so a lost answer can be given
again, and a stolen table gives nobody a token.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from contactship_common.settings import ApiSettings

_LONGEST_GENERATION_DIGITS = 9


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token whose signature was right; whether it is the current one, the family's row decides."""

    family: UUID
    generation: int


def _signature(secret: str, family: UUID, generation: int) -> str:
    key = hmac.digest(secret.encode(), b"contactship refresh token", hashlib.sha256)
    message = family.bytes + generation.to_bytes(8, "big")
    return base64.urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).decode().rstrip("=")


def issue_refresh_token(settings: ApiSettings, family: UUID, generation: int) -> str:
    return f"{family}.{generation}.{_signature(settings.jwt_secret, family, generation)}"


def parse_refresh_token(settings: ApiSettings, token: str) -> RefreshToken | None:
    """The token's parts if it is one of ours; None for anything else. Accepts the previous secret too."""
    parts = token.split(".")
    if len(parts) != 3 or not parts[1].isascii() or not parts[1].isdigit():
        return None
    if len(parts[1]) > _LONGEST_GENERATION_DIGITS:
        return None
    try:
        family, generation = UUID(parts[0]), int(parts[1])
    except ValueError:
        return None
    for secret in filter(None, (settings.jwt_secret, settings.jwt_secret_previous)):
        if hmac.compare_digest(_signature(secret, family, generation).encode(), parts[2].encode()):
            return RefreshToken(family, generation)
    return None
