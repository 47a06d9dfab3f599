"""E-mail addresses, and the addresses of WhatsApp, which are phone numbers."""

import re

from contactship_common.masking.phones import mask_phone

# Bounded repetition and no nesting: linear on hostile text.
_EMAIL = re.compile(r"(?<![\w.+%'-])([\w.+%'-]{1,64})(@|%40)([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})")
_JID = re.compile(r"(\d{7,20})(?:[:_.-]\d{1,3}){0,2}@(s\.whatsapp\.net|c\.us|g\.us|lid|broadcast)\b")


def mask_emails(text: str) -> str:
    return _EMAIL.sub(_shown, _JID.sub(lambda found: f"{mask_phone(found[1])}@{found[2]}", text))


def mask_email(address: str) -> str:
    """`jorge.paz@host` → `j***z@host`; of a local part of one or two characters only the first is left."""
    local, at, host = address.rpartition("@")
    return _masked(local, at, host) if at else "***"


def _shown(found: re.Match[str]) -> str:
    before = found.string[max(0, found.start() - 4) : found.start()]
    if before.endswith("***") and (len(found[1]) == 1 or found[1].isdigit()):
        return found[0]  # what is left of an address that was masked
    return _masked(found[1], found[2], found[3])


def _masked(local: str, at: str, host: str) -> str:
    return f"{local[:1]}***{local[-1] if len(local) > 2 else ''}{at}{host}"
