"""Hides e-mail addresses and phone numbers in free text: for language models, logs and answers to those who may not
see them.

Masking errs on the side of hiding: what looks like a phone number in any country is masked, while plain prices, dates,
times, years and ids stay readable. Masked text is left alone when it is masked again.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import phonenumbers

# Bounded repetition and no nesting: linear on hostile text.
_EMAIL = re.compile(r"(?<![\w.+%*'-])([\w.+%'-]{1,64})@([\w-]{1,63}(?:\.[\w-]{1,63}){1,8})")

_ZERO_WIDTH = "\u200b-\u200f\u2060\ufeff\u00ad"
_SPACES = " \t\u00a0\u2002-\u200a\u202f\u3000"
_DASHES = "\\-\u2010-\u2015\u2212"
_BETWEEN = f"{_SPACES}{_DASHES}{_ZERO_WIDTH}.()\u00b7"
# Something with at least seven digits and nothing but phone punctuation between them.
_CANDIDATE = re.compile(
    rf"(?<![\w{_DASHES}])(?<!\d[.,:/])[+＋(]{{0,2}}\d(?:[{_BETWEEN}]{{0,3}}\d){{6,31}}(?![\w%]|[.,:/]\d)"
)

_DATE = r"(?:19|20)\d\d[-./](?:0?[1-9]|1[0-2])[-./](?:0?[1-9]|[12]\d|3[01])"
_DATE_BACKWARDS = r"(?:0?[1-9]|[12]\d|3[01])[-./](?:0?[1-9]|1[0-2])[-./](?:(?:19|20)\d\d|\d\d)"
_TIME = r"\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_AMOUNT_WORDS = (
    r"usd|eur|ars|mxn|cop|clp|pen|uyu|brl|gbp|pesos|d[oó]lares|dollars|euros|soles|reales|unidades|units|km|m2"
)
_ID_WORDS = (
    r"id|dni|pedido|orden|order|factura|invoice|ticket|caso|case|ref|referencia|reference|c[oó]digo|code|sku|nro|n[º°]"
)
# What looks like a phone number at first sight and is none; candidates that touch one of these are judged without it.
_PROTECTED = re.compile(
    rf"(?<![\d+])(?:{_DATE}|{_DATE_BACKWARDS})(?:[T ,]{{1,2}}{_TIME})?(?!\d)"
    rf"|(?<!\d)(?:19|20)\d\d ?[{_DASHES}] ?(?:19|20)\d\d(?!\d)"
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"
    r"|(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.])"
    rf"|(?:[$€£¥]|\b(?:{_AMOUNT_WORDS})\b)[ \u00a0]?\d[\d.,]{{0,24}}(?:[ \u00a0]\d{{3}}){{0,6}}"
    rf"|(?<![\d.,])\d[\d.,]{{0,24}}(?:[ \u00a0]\d{{3}}){{0,6}}[ \u00a0]?(?:[$€£¥]|\b(?:{_AMOUNT_WORDS})\b)"
    rf"|(?:#|\b(?:{_ID_WORDS})\b[.:# ]{{1,3}})\d+\b",
    re.IGNORECASE,
)
_GROUPED_NUMBER = re.compile(r"\d{1,3}(?:\.\d{3}){2,}|\d{1,3}(?: \d{3}){2,}")
_DECIMAL = re.compile(r"\d+\.\d+")
_ROUND_RANGE = re.compile(rf"\d{{1,4}}[05]0 ?[{_DASHES}] ?\d{{1,4}}[05]0")
_ONLY_SPACED_EQUAL_GROUPS = re.compile(r"\d{4}(?: \d{4})+|\d{3}(?: \d{3}){3,}")
_PHONE_WORD = re.compile(
    r"(?:tel|tel[eé]fono|cel|celular|m[oó]vil|fono|phone|mobile|cell|whatsapp|wsp|wa|sms|fax|ll[aá]m\w*|call\w*|"
    r"contacto|n[uú]mero|number)\b[^\n\d]{0,20}$",
    re.IGNORECASE,
)
_REGIONS = ("AR", "MX", "ES", "CO", "CL", "PE", "US", "BR", "UY", "EC")


def mask_pii(text: str) -> str:
    """`text` with every e-mail address and phone number masked."""
    if "@" in text:
        text = _EMAIL.sub(lambda found: mask_email(found[0]), text)
    return _mask_phones(text)


def mask_email(address: str) -> str:
    """`jorge.paz@host` → `j***z@host`; of a local part of one or two characters only the first is left."""
    local, at, host = address.rpartition("@")
    if not at:
        return "***"
    last = local[-1] if len(local) > 2 else ""
    return f"{local[:1]}***{last}@{host}"


def mask_phone(number: str) -> str:
    """`+54 11 3456-7890` → `***90`; a text with fewer than seven digits shows none of them."""
    digits = [char for char in number if char.isdigit()]
    return "***" + "".join(digits[-2:] if len(digits) >= 7 else [])


def mask_data(value: Any) -> Any:
    """JSON with every text in it masked."""
    if isinstance(value, str):
        return mask_pii(value)
    if isinstance(value, dict):
        return {mask_pii(key): mask_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [mask_data(item) for item in value]
    return value


def _mask_phones(text: str) -> str:
    if sum(map(str.isdigit, text)) < 7:
        return text
    out, position = [], 0
    for start, end in _phones(text):
        out += [text[position:start], mask_phone(text[start:end])]
        position = end
    return "".join(out) + text[position:]


def _phones(text: str) -> Iterator[tuple[int, int]]:
    protected = [found.span() for found in _PROTECTED.finditer(text)]
    position = 0
    while found := _CANDIDATE.search(text, position):
        start, end = found.span()
        touching = next((span for span in protected if span[0] < end and start < span[1]), None)
        if touching and touching[0] > start:  # judge what stands before it, then go on behind it
            end = touching[0]
        elif touching:
            position = max(touching[1], start + 1)
            continue
        if _is_phone(text[start:end], text[max(0, start - 40) : start]):
            kept = text[start:end].rstrip(" \t-.(")
            yield start, start + len(kept)
        position = end


def _is_phone(candidate: str, before: str) -> bool:
    number = candidate.strip()
    digits = "".join(str(int(char)) for char in number if char.isdigit())
    if len(digits) < 7:
        return False
    if number[0] in "+＋" or _PHONE_WORD.search(before):
        return True
    if number.isdigit():
        # Bare digits: ids have any length, numbers one can dial without an area code are too short to tell.
        return 9 <= len(digits) <= 15 or (len(digits) == 8 and digits[0] in "6789" and _dialable(digits))
    if _ROUND_RANGE.fullmatch(number):  # "1200-1500": somebody's budget
        return False
    if _DECIMAL.fullmatch(number) or _GROUPED_NUMBER.fullmatch(number):
        return len(digits) == 9 and digits[0] in "6789" and _dialable(digits)
    if _ONLY_SPACED_EQUAL_GROUPS.fullmatch(number):  # "1200 1300 1400" is a list of prices more often than not
        return len(digits) == 12 and _dialable(digits)
    return True


def _dialable(digits: str) -> bool:
    return any(_valid(phonenumbers.parse, digits, region) for region in _REGIONS)


def _valid(parse: Callable[[str, str], phonenumbers.PhoneNumber], digits: str, region: str) -> bool:
    try:
        return phonenumbers.is_valid_number(parse(digits, region))
    except phonenumbers.NumberParseException:
        return False
