"""What a search of interactions looks at.

Whoever sees masked answers must not be able to spell a hidden number out by asking for one digit more each time: they
find numbers by the whole of it, or by the four digits that are shown anyway, and texts by words without digits.
"""

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.models import CallDetail, Interaction

_NUMBERS = (Interaction.from_number, Interaction.to_number, Interaction.customer_phone)
_TEXTS = (Interaction.customer_ref, Interaction.intent, CallDetail.summary, CallDetail.transcript_text)
_SHOWN_DIGITS = 4
_FEWEST_DIGITS = 4


def finds(search: str, spellings: list[str], *, clear: bool) -> sa.ColumnElement[bool]:
    """The condition on `interactions` joined with `call_details`; `spellings` of what may be a number."""
    digits = "".join(char for char in search if char.isdigit())
    is_number = bool(digits) and not any(char.isalpha() or char == "@" for char in search)
    found: list[sa.ColumnElement[bool]] = []
    if is_number:
        found += [col(number).in_(spellings) for number in _NUMBERS]
        if clear and len(digits) >= _FEWEST_DIGITS:
            found += [col(number).contains(digits, autoescape=True) for number in _NUMBERS]
        elif len(digits) == _SHOWN_DIGITS:
            found += [col(number).endswith(digits, autoescape=True) for number in _NUMBERS]
    if clear or not (digits or "@" in search):
        found += [col(text).icontains(search, autoescape=True) for text in _TEXTS]
    else:
        found.append(col(Interaction.customer_ref) == search)
    return sa.or_(*found)
