"""Signatures by the Standard Webhooks scheme: `webhook-id`, `webhook-timestamp` and `webhook-signature`."""

import base64
import binascii
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64
"""Bytes of a key that the scheme recommends."""
_KEY_BYTES = 32


def make_secret() -> str:
    """A new secret: `whsec_` and base64, which receivers give to the library as it is."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key that a secret stands for.

    `whsec_` and base64, and base64 of 24 to 64 bytes without the prefix, are decoded, as the reference library does
    with the same text. Any other text is the key itself, as UTF-8: receivers give its bytes to the library
    (`Webhook(text.encode())`).

    Raises:
        ValueError: it is empty, or what follows `whsec_` is not base64.
    """
    if secret.startswith(_PREFIX):
        key = _decoded(secret.removeprefix(_PREFIX))
        if not key:
            raise ValueError("what follows whsec_ must be base64")
        return key
    key = _decoded(secret) if len(secret) % 4 == 0 else None
    if key is not None and _SHORTEST <= len(key) <= _LONGEST:
        return key
    if not secret:
        raise ValueError("the signing secret is empty")
    return secret.encode()


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def sign(keys: Sequence[bytes], message_id: str, body: str) -> dict[str, str]:
    """The headers of one attempt, made now. Several keys: while a secret is being changed, either verifies."""
    now = datetime.now(UTC)
    signatures = [Webhook(key).sign(message_id, now, body) for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
