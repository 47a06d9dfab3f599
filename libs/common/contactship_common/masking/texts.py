"""Free text: every kind of personal data, one after the other."""

import re

from contactship_common.masking.codes import mask_codes
from contactship_common.masking.emails import mask_emails
from contactship_common.masking.identities import mask_identities
from contactship_common.masking.phones import mask_phones

_FEWEST_DIGITS = 4  # of a code
_DIGIT = re.compile(r"\d")


# What was hidden may have stood glued to something that is only recognised without it. Each pass leaves fewer digits.
_MOST_PASSES = 5


def mask_pii(text: str) -> str:
    """`text` with every e-mail address, phone number, national id, card number and code masked."""
    for _ in range(_MOST_PASSES):
        masked = _pass(text)
        if masked == text:
            break
        text = masked
    return text


def _pass(text: str) -> str:
    if "@" in text or "%40" in text:
        text = mask_emails(text)
    if len(_DIGIT.findall(text)) < _FEWEST_DIGITS:
        return text
    return mask_phones(mask_codes(mask_identities(text)))
