"""JSON of any shape, as providers send it: the name of a field says what its value is."""

import re
from typing import Any

from contactship_common.masking.phones import mask_phone
from contactship_common.masking.texts import mask_pii

_WORD = re.compile(r"[A-Z]?[a-záéíóúñ0-9]+|[A-Z]+(?![a-z])")
_PHONES = {
    "phone", "telefono", "teléfono", "tel", "mobile", "movil", "móvil", "celular", "cell", "msisdn", "whatsapp",
    "wa", "from", "to", "caller", "callee", "called", "destination", "remote", "jid", "number", "numero", "número",
    "contact", "recipient", "sender", "participant",
}  # fmt: skip
_CODES = {
    "otp", "pin", "code", "codigo", "código", "clave", "passcode", "password", "cvv", "cvc", "verification",
    "verificacion",
}  # fmt: skip
_OTHER_CODES = {
    "postal", "zip", "country", "error", "status", "area", "currency", "language", "lang", "hangup", "reason",
    "http", "exit",
}  # fmt: skip
_IDENTITIES = {
    "dni", "cuit", "cuil", "rut", "curp", "rfc", "cpf", "cnpj", "nie", "nif", "nit", "cedula", "cédula", "documento",
    "passport", "pasaporte", "ssn",
}  # fmt: skip
_TIMES = {
    "time", "timestamp", "at", "date", "secs", "seconds", "ms", "unix", "start", "end", "expires", "duration",
    "created", "updated",
}  # fmt: skip
_ONLY_NUMBER = re.compile(r"[+＋()\d][\d\s()+./\u2010-\u2015-]{5,30}")
_LOOKS_LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d")
_ONLY_CODE = re.compile(r"\s*\d(?:[ -]?\d){3,9}\s*")
_DEEPEST = 100
_LARGEST_SMALL = 10**8  # whole numbers below are counts, amounts and sizes


def mask_data(value: Any, name: str = "", _depth: int = 0) -> Any:
    """JSON with everything personal in it masked; `name` of the field that it is the value of. What is nested deeper
    than anything that is meant to be read is not shown at all."""
    if _depth > _DEEPEST:
        return "***"
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return _number(value, name)
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, item in value.items():
            shown = mask_pii(key)
            while shown in out:  # two numbers that end alike
                shown += "'"
            out[shown] = mask_data(item, key, _depth + 1)
        return out
    if isinstance(value, list):
        return [mask_data(item, name, _depth + 1) for item in value]
    return value


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def _text(text: str, name: str) -> str:
    if not any(char.isdigit() for char in text):
        return mask_pii(text)
    words = _words(name)
    if words & _IDENTITIES:
        return "***"
    if words & _CODES and not words & _OTHER_CODES and _ONLY_CODE.fullmatch(text):
        return "***"
    if words & _PHONES and _ONLY_NUMBER.fullmatch(text) and not _LOOKS_LIKE_A_TIME.match(text):
        return mask_phone(text)
    return mask_pii(text)


def _number(number: float, name: str) -> float | str:
    words = _words(name)
    if words & _IDENTITIES or (words & _CODES and not words & _OTHER_CODES and 0 <= number < 10**8):
        return "***"
    is_whole = isinstance(number, int) or number.is_integer()  # some serialisers write every number as a float
    if is_whole and (number >= _LARGEST_SMALL or words & _PHONES) and not words & _TIMES:
        shown = mask_phone(str(int(number)))
        return number if shown == "***" else shown
    return number
