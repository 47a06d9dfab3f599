"""One-time codes: derived, never stored.

A code is the HOTP truncation (RFC 4226, section 5.3) of HMAC-SHA256 over a challenge's random nonce. Only the sending
handler and the check compute it.
"""

import hashlib
import hmac
import secrets

from contactship_common.models import OtpPurpose

DIGITS = 6
NONCE_BYTES = 16

_TEXTS = {
    OtpPurpose.PASSWORD_RESET: "Su código de verificación es: {code}. Válido por {life}. No comparta este código.",
    OtpPurpose.TX_CONFIRMATION: "Confirme su transacción con el código: {code}. Válido por {life}.",
    OtpPurpose.IDENTITY_VERIFICATION: "Código de verificación de identidad: {code}. Válido por {life}. "
    "No comparta este código.",
    OtpPurpose.LOGIN_2FA: "Su código de acceso es: {code}. Válido por {life}. No comparta este código.",
}


def new_nonce() -> bytes:
    """128 random bits."""
    return secrets.token_bytes(NONCE_BYTES)


def code_of(secret: str, nonce: bytes) -> str:
    """The six digits of a challenge, leading zeros included. Never log, store or return it."""
    digest = hmac.digest(secret.encode(), nonce, hashlib.sha256)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def text_of(purpose: OtpPurpose, code: str, ttl_seconds: int) -> str:
    """The SMS. Minutes are rounded up, so that nobody is told less time than there is."""
    minutes = max(1, -(-ttl_seconds // 60))
    return _TEXTS[purpose].format(code=code, life="1 minuto" if minutes == 1 else f"{minutes} minutos")
