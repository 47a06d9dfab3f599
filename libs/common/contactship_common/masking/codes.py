"""One-time codes, PINs and the like: four to eight digits near a word that says so."""

import re

from contactship_common.masking.plain import plain_span

_MASK = "***"
_WORDS = (
    r"c[oó]digos?|codes?|otp|pin|clave|contrase[nñ]a|password|passcode|verificaci[oó]n|verification|"
    r"cvv2?|cvc2?|token|2fa"
)
# A code of another kind.
_HARMLESS_AFTER = (
    r"(?! ?(?:postal|de (?:[aá]rea|barras|error|producto|descuento|pa[ií]s|pedido|cliente)|promocional|qr))"
)
_HARMLESS_BEFORE = re.compile(
    r"(?:zip|post|postal|area|[aá]rea|error|status|country|promo|discount|product|order|source|bar|qr|exit|http|reason)"
    r"[ _-]?$",
    re.IGNORECASE,
)
_DIGITS = r"\d(?:[ -]?\d){3,7}"
_END = r"(?![^\W_]|%|[.,:/-]\d| ?\d|[ ]?(?:d[ií]gitos|digits|caracteres|characters|d[ií]as|days|intentos|attempts)\b)"
_AFTER_WORD = re.compile(
    rf"(?<![^\W_])(?:{_WORDS})(?![^\W_]){_HARMLESS_AFTER}(?P<between>(?:[^\d.;!?*]|\*(?!\*\*)){{0,40}}?)(?<![$€£#/])"
    rf"(?P<code>{_DIGITS}){_END}",
    re.IGNORECASE,
)
_BEFORE_WORD = re.compile(
    rf"(?<![\w$€£#.,:/])(?<!\*\*\*)(?:[a-z]-)?(?P<code>{_DIGITS})\*{{0,2}}\s{{1,3}}(?:es|is|como|as)\s(?:[a-záéíóú]{{1,20}}\s){{0,3}}(?:{_WORDS})(?![^\W_])",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_BEFORE_A_YEAR = re.compile(r"\b(?:en|de|del|a[nñ]o|year|in|of|since|desde)\s*$", re.IGNORECASE)
_ANY_WORD = re.compile(_WORDS, re.IGNORECASE)


def mask_codes(text: str) -> str:
    """Codes in free text."""
    if not _ANY_WORD.search(text):
        return text
    return _BEFORE_WORD.sub(_shown, _AFTER_WORD.sub(_shown, text))


def _shown(found: re.Match[str]) -> str:
    if _is_harmless(found) or plain_span(found.string, *found.span("code")) is not None:
        return found[0]
    start = found.start()
    return found[0][: found.start("code") - start] + _MASK + found[0][found.end("code") - start :]


def _is_harmless(found: re.Match[str]) -> bool:
    if _HARMLESS_BEFORE.search(found.string[max(0, found.start() - 12) : found.start()]):
        return True
    between = found.groupdict().get("between") or ""
    return _YEAR.fullmatch(found["code"]) is not None and _BEFORE_A_YEAR.search(between) is not None
