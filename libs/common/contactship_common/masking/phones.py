"""Phone numbers in any notation, and card numbers."""

import re
from collections.abc import Callable, Iterator

import phonenumbers

from contactship_common.masking.plain import DASHES, plain_span

_ZERO_WIDTH = "\u200b-\u200f\u2060\ufeff\u00ad"
_SPACES = " \t\u00a0\u2002-\u200a\u202f\u3000"
_BETWEEN = f"{_SPACES}{DASHES}{_ZERO_WIDTH}.()\u00b7"
# At least seven digits and nothing but phone punctuation between them.
_CANDIDATE = re.compile(rf"[+＋(]{{0,2}}\d(?:[{_BETWEEN}]{{0,3}}\d){{6,31}}(?!\d|%|:[0-5]\d(?!\d))")
_SHOWN = 4
_FEWEST = 7
_CARD_DIGITS = range(13, 20)

_IN_FOURS = re.compile(rf"\d{{4}}([ {DASHES}])\d{{4}}\1\d{{4}}\1\d{{4}}|\d{{4}}([ {DASHES}])\d{{6}}\2\d{{5}}")
_GROUPED_NUMBER = re.compile(r"\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?: \d{3}){2,}")
_DECIMAL = re.compile(r"\d+\.\d+")
_DOTTED = re.compile(r"\d+(?:\.\d+){2,}")
_ROUND_RANGE = re.compile(rf"\d{{1,4}}[05]0 ?[{DASHES}] ?\d{{1,4}}[05]0")
_ONLY_SPACED_EQUAL_GROUPS = re.compile(r"\d{4}(?: \d{4})+|\d{3}(?: \d{3}){3,}")
_PHONE_WORD = re.compile(
    r"(?:tel|tel[eé]fono|cel|celular|m[oó]vil|fono|phone|mobile|cell|whatsapp|wsp|wa|sms|fax|ll[aá]m\w*|call\w*|"
    r"contacto|n[uú]mero|number)(?![^\W_])[^\n\d]{0,20}$",
    re.IGNORECASE,
)
_GLUED_PHONE_WORD = re.compile(r"(?:tel|cel|fax|wsp|wa|sms|fono|m[oó]vil|phone|%2b)$", re.IGNORECASE)
_PART_OF_A_WORD = re.compile(rf"[^\W_][{DASHES}]?$")
_PART_OF_A_NUMBER = re.compile(r"(?<!\d)\d{1,5}[.,:/]$")
_CENTS = re.compile(r"[.,]\d{1,2}(?!\d)")
_LEFT_OVER = re.compile(r"\d{4}(?!\d)")  # of a number that was masked
_GLUED_LETTER = re.compile(r"(?!ext|int|x\d)[^\W_]", re.IGNORECASE)
_WORD_CHARS_BEFORE = 40
_REGIONS = ("AR", "MX", "ES", "CO", "CL", "PE", "US", "BR", "UY", "EC")


def mask_phone(number: str) -> str:
    """`+54 11 3456-7890` → `***7890`; a text with fewer than seven digits shows none of them."""
    digits = [char for char in number if char.isdecimal()]
    return "***" + "".join(digits[-_SHOWN:] if len(digits) >= _FEWEST else [])


def mask_phones(text: str) -> str:
    """Phone and card numbers in free text."""
    out, position = [], 0
    for start, end, shown in _numbers(text):
        out += [text[position:start], shown]
        position = end
    return "".join(out) + text[position:]


def _numbers(text: str) -> Iterator[tuple[int, int, str]]:
    position = 0
    while found := _CANDIDATE.search(text, position):
        start, end = found.span()
        if text[max(0, start - 3) : start] == "***" and (left := _LEFT_OVER.match(text, start)):
            position = left.end()
            continue
        touching = None if _is_written_as_card(text[start:end]) else plain_span(text, start, end)
        if touching and touching[0] > start:  # judge what stands before it, then go on behind it
            end = touching[0]
        elif touching:
            position = max(touching[1], start + 1)
            continue
        before = text[max(0, start - _WORD_CHARS_BEFORE) : start]
        number = text[start:end].rstrip(" \t-.(")
        shown = _judged(number, before, text[end : end + 4])
        if shown is not None:
            yield start, start + len(number), shown
        position = end


def _judged(number: str, before: str, after: str) -> str | None:
    """What is shown instead of this candidate; None: it stays."""
    digits = "".join(str(int(char)) for char in number if char.isdecimal())
    if len(digits) < _FEWEST:
        return None
    if card := _card(number):
        return mask_phone(card)
    named = _PHONE_WORD.search(before) or _GLUED_PHONE_WORD.search(before)
    if number[0] in "+＋":
        return mask_phone(number)
    if number.isdigit() and _GLUED_LETTER.match(after):
        return None
    if _PART_OF_A_WORD.search(before) and not named:
        return None
    if not named and not _is_phone(number, digits, before, after):
        return None
    return mask_phone(number)


def _is_phone(number: str, digits: str, before: str, after: str) -> bool:
    is_figure = number.isdigit() or _DECIMAL.fullmatch(number) or _GROUPED_NUMBER.fullmatch(number)
    if is_figure and (_PART_OF_A_NUMBER.search(before) or _CENTS.match(after)):  # a fraction, or cents follow
        return False
    if number.isdigit():
        # Bare digits: ids have any length, numbers one can dial without an area code are too short to tell.
        return 9 <= len(digits) <= 15 or (len(digits) == 8 and digits[0] in "6789" and _dialable(digits))
    if _ROUND_RANGE.fullmatch(number):  # "1200-1500": somebody's budget
        return False
    if _DECIMAL.fullmatch(number):
        return number.find(".") == 3 and len(digits) == 9 and digits[0] in "6789" and _dialable(digits)
    if _GROUPED_NUMBER.fullmatch(number):
        return len(digits) == 9 and digits[0] in "6789" and _dialable(digits)
    if _ONLY_SPACED_EQUAL_GROUPS.fullmatch(number):  # "1200 1300 1400" is a list of prices more often than not
        return len(digits) == 12 and _dialable(digits)
    # A version: "120.0.6099.109".
    return not (_DOTTED.fullmatch(number) and min(map(len, number.removeprefix("1.").split("."))) < 2)


def _card(number: str) -> str | None:
    """The digits of a card among the groups of a candidate: right length, right first digit, right check digit."""
    groups = re.findall(r"\d+", number)
    for first in range(len(groups)):
        joined = ""
        for group in groups[first:]:
            joined += "".join(str(int(char)) for char in group)
            if len(joined) > _CARD_DIGITS[-1]:
                break
            if len(joined) in _CARD_DIGITS and joined[0] in "23456" and _luhn(joined):
                return joined
    return None


def _is_written_as_card(number: str) -> bool:
    """Four by four, as on the card, and with its check digit: no order is numbered so, whatever word is before it."""
    return _IN_FOURS.fullmatch(number) is not None and _card(number) is not None


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _dialable(digits: str) -> bool:
    return any(_valid(phonenumbers.parse, digits, region) for region in _REGIONS)


def _valid(parse: Callable[[str, str], phonenumbers.PhoneNumber], digits: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(parse(digits, region))
    except phonenumbers.NumberParseException:
        return False
