"""National ids: DNI, CUIT and CUIL, RUT, CURP and RFC, CPF, NIE and Spanish DNI, cédula, passport and their like.

Some are recognised by their own form and check digit, the others by the word before them.
"""

import re

from contactship_common.masking.plain import plain_span

_MASK = "***"

_WORDS = (
    r"d\.?n\.?i\.?|documento(?: nacional)?(?: de identidad)?|c[eé]dula(?: de (?:identidad|ciudadan[ií]a))?|"
    r"c\.?c\.?|c\.?i\.?|l\.?[ec]\.?|cuit|cuil|rut|curp|rfc|cpf|cnpj|nie|nif|nit|ssn|social security|pasaporte|passport|"
    r"identidad|identificaci[oó]n|national id|identity (?:card|number)|id card"
)
_JOINED = r"(?:[^\w\n*]{0,4}(?:es|is|el|la|mi|n[º°o]|nro|n[uú]mero|number|no|num)?(?![^\W_])){0,3}[^\w\n*]{0,4}\*{0,2}"
_NAMED = re.compile(
    rf"(?<![^\W_])(?:{_WORDS})(?![^\W_]){_JOINED}"
    r"(?P<id>(?:[a-z]{1,3}-?)?\d(?:[.\- ]{0,2}\d){4,14}(?:[-. ]?[a-z0-9]{1,3})?)(?![^\W_]|[:/,]\d)",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(?:19|20)\d\d[-.](?:0?[1-9]|1[0-2])[-.]\d\d?|\d\d?[-.](?:0?[1-9]|1[0-2])[-.](?:(?:19|20)\d\d|\d\d)"
)

_FORMED = re.compile(
    r"(?<![\w.$€£])(?<!\d[-,/])(?:"
    r"(?P<cuit>(?:20|2[3-7]|3[034])[-. /]?\d{2}\.?\d{3}\.?\d{3}[-. /]?\d)"
    r"|(?P<cpf>\d{3}\.\d{3}\.\d{3}-\d{2}|\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2})"
    r"|(?P<rut>\d{1,2}(?:\.\d{3}\.\d{3}|\d{6})-[\dk])"
    r"|(?P<spain>\d{2}\.?\d{3}\.?\d{3}-?[a-z])"
    r"|(?P<nie>[xyz][- ]?\d{7}[- ]?[a-z])"
    r"|(?P<curp>[a-z][aeioux][a-z]{2}\d{6}[hmx][a-z]{2}[b-df-hj-np-tv-z]{3}[a-z\d]\d)"
    r"|(?P<rfc>[a-zñ&]{3,4}[- ]?\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[- ]?[a-z\d]{3})"
    r"|(?P<dotted>\d{2}\.\d{3}\.\d{3})"
    r")(?![\w%]|[-.,/:]\d)",
    re.IGNORECASE,
)
_SPANISH_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"


def mask_identities(text: str) -> str:
    """National ids in free text."""
    return _FORMED.sub(_formed, _NAMED.sub(_named, text))


def _named(found: re.Match[str]) -> str:
    if _DATE.fullmatch(found["id"]):
        return found[0]
    whole = found[0]
    return whole[: found.start("id") - found.start()] + _MASK


def _formed(found: re.Match[str]) -> str:
    form = str(found.lastgroup)
    if not _fits(form, found[0]):
        return found[0]
    is_plain = form not in ("cuit", "curp", "nie") and plain_span(found.string, *found.span()) is not None
    return found[0] if is_plain else _MASK


def _fits(form: str, written: str) -> bool:
    bare = "".join(str(int(char)) if char.isdecimal() else char.upper() for char in written if char.isalnum())
    if form == "cuit":
        return "-" in written or _modulo_11(bare[:-1], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) == bare[-1]
    if form == "rut":
        return "." in written or _rut(bare[:-1]) == bare[-1]
    if form == "spain":
        return _SPANISH_LETTERS[int(bare[:-1]) % 23] == bare[-1]
    if form == "nie":
        return _SPANISH_LETTERS[int(f"{'XYZ'.index(bare[0])}{bare[1:-1]}") % 23] == bare[-1]
    if form == "dotted":  # a price otherwise
        return not bare.endswith("00")
    return True


def _modulo_11(digits: str, weights: tuple[int, ...]) -> str:
    rest = 11 - sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11
    return {11: "0", 10: "9"}.get(rest, str(rest))


def _rut(digits: str) -> str:
    rest = 11 - sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(digits))) % 11
    return {11: "0", 10: "K"}.get(rest, str(rest))
