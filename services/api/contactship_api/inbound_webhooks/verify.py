"""Who really sent a webhook. Every comparison takes the same time, and an empty secret verifies nothing."""

import hashlib
import hmac
import time
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.datastructures import FormData
from twilio.request_validator import RequestValidator

ELEVENLABS_TOLERANCE_SECONDS = 30 * 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` goes into the audit; it never holds what was presented."""

    ok: bool
    reason: str = ""


def token_fits(presented: str | None, secret: SecretStr) -> bool:
    """`X-Webhook-Token` (or a token in the URL) against a configured one."""
    expected = secret.get_secret_value()
    return bool(expected and presented) and hmac.compare_digest((presented or "").encode(), expected.encode())


def _elevenlabs_parts(header: str) -> tuple[str, list[str]]:
    timestamp, signatures = "", []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            timestamp = value
        elif name == "v0":
            signatures.append(value)
    return timestamp, signatures


def elevenlabs_header(header: str | None, secret: SecretStr, *, now: float | None = None) -> Verdict:
    """Whether it is worth reading the body, which may have 25 MiB: a signature of now is there, right or wrong."""
    if not secret.get_secret_value():
        return Verdict(False, "no_secret")
    if not header:
        return Verdict(False, "signature_missing")
    timestamp, signatures = _elevenlabs_parts(header)
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12 and signatures):
        return Verdict(False, "signature_malformed")
    if abs((time.time() if now is None else now) - int(timestamp)) > ELEVENLABS_TOLERANCE_SECONDS:
        return Verdict(False, "signature_stale")
    return Verdict(True)


def elevenlabs(header: str | None, body: bytes, secret: SecretStr, *, now: float | None = None) -> Verdict:
    """`ElevenLabs-Signature: t=<unix s>,v0=<hex>`: HMAC-SHA256 over `t.body`, 30 minutes of tolerance both ways."""
    verdict = elevenlabs_header(header, secret, now=now)
    if not verdict.ok:
        return verdict
    timestamp, signatures = _elevenlabs_parts(header or "")
    key = secret.get_secret_value()
    expected = hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    fits = [hmac.compare_digest(expected.encode(), given.encode()) for given in signatures]
    return Verdict(True) if any(fits) else Verdict(False, "signature_wrong")


def twilio(header: str | None, url: str, form: FormData, secret: SecretStr) -> Verdict:
    """`X-Twilio-Signature` over the public URL and every form field, by Twilio's own validator."""
    key = secret.get_secret_value()
    if not key:
        return Verdict(False, "no_secret")
    if not url:
        return Verdict(False, "no_public_base_url")
    if not header:
        return Verdict(False, "signature_missing")
    fits = RequestValidator(key).validate(url, form, header)
    return Verdict(True) if fits else Verdict(False, "signature_wrong")
