"""API keys: `csk_{id}_{secret}`, shown once, stored as a keyed hash."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

from contactship_common.settings import ApiSettings

PREFIX = "csk"
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """An API key as it came in a header: which row it claims to be, and its secret."""

    id: UUID
    secret: str


def make_key(key_id: UUID) -> PresentedKey:
    return PresentedKey(key_id, secrets.token_urlsafe(_SECRET_BYTES))


def as_text(key: PresentedKey) -> str:
    """What the client is shown, once."""
    return f"{PREFIX}_{key.id.hex}_{key.secret}"


def parse_key(text: str) -> PresentedKey | None:
    """The parts of a text of our form; None for anything else."""
    prefix, _, rest = text.partition("_")
    key_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not secret or len(text) > 200 or not text.isascii():
        return None
    try:
        return PresentedKey(UUID(key_id), secret)
    except ValueError:
        return None


def hash_secret(settings: ApiSettings, secret: str) -> bytes:
    """The keyed hash that is stored."""
    return _hash(settings.jwt_secret, secret)


def matches(settings: ApiSettings, secret: str, stored: bytes) -> tuple[bool, bool]:
    """Whether the secret is the stored one, and whether it was hashed with the secret before a rotation (hash it
    again then)."""
    if hmac.compare_digest(_hash(settings.jwt_secret, secret), stored):
        return True, False
    previous = settings.jwt_secret_previous
    old = bool(previous) and hmac.compare_digest(_hash(previous, secret), stored)
    return old, old


def _hash(key: str, secret: str) -> bytes:
    derived = hmac.digest(key.encode(), b"contactship api key", hashlib.sha256)
    return hmac.digest(derived, secret.encode(), hashlib.sha256)
