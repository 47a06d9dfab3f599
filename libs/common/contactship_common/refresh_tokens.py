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

_LONGEST_TOKEN = 100


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token whose signature was right; whether it is the current one, the family's row decides."""

    family: UUID
    generation: int


def _text(secret: str, family: UUID, generation: int) -> str:
    key = hmac.digest(secret.encode(), b"contactship refresh token", hashlib.sha256)
    message = family.bytes + generation.to_bytes(8, "big")
    signature = base64.urlsafe_b64encode(hmac.digest(key, message, hashlib.sha256)).decode().rstrip("=")
    return f"{family}.{generation}.{signature}"


def issue_refresh_token(settings: ApiSettings, family: UUID, generation: int) -> str:
    return _text(settings.jwt_secret, family, generation)


def parse_refresh_token(settings: ApiSettings, token: str) -> RefreshToken | None:
    """The token's parts if it is ours, letter for letter; None for anything else. The previous secret is good too."""
    if len(token) > _LONGEST_TOKEN or not token.isascii() or token.count(".") != 2:
        return None
    first, second, _ = token.split(".")
    try:
        family, generation = UUID(first), int(second)
        for secret in filter(None, (settings.jwt_secret, settings.jwt_secret_previous)):
            if hmac.compare_digest(_text(secret, family, generation), token):
                return RefreshToken(family, generation)
    except (ValueError, OverflowError):
        return None
    return None
