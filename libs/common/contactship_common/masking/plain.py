"""What looks like a phone number, an id or a code at first sight and is none: dates, amounts, measurements, versions,
row ids, addresses of machines, numbers of orders."""

import re

DASHES = "\\-\u2010-\u2015\u2212"

_DATE = r"(?:19|20)\d\d[-./](?:0?[1-9]|1[0-2])[-./](?:0?[1-9]|[12]\d|3[01])"
_DATE_BACKWARDS = r"(?:0?[1-9]|[12]\d|3[01])[-./](?:0?[1-9]|1[0-2])[-./](?:(?:19|20)\d\d|\d\d)"
_DATE_TIME_IN_DIGITS = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?"
_TIME = r"\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_UNITS = (
    r"usd|eur|ars|mxn|cop|clp|pen|uyu|brl|gbp|pesos|d[oó]lares|dollars|euros|soles|reales|unidades|units|km|m2|mm|cm|"
    r"kg|gr|lts|litros|bytes|kb|mb|gb|ms|segundos|seconds|minutos|minutes|horas|hours|habitantes|usuarios|users|visitas|"
    r"views|filas|rows|puntos|points|veces|times"
)
_AMOUNTS = (
    r"precio|price|total|monto|importe|valor|costo|coste|cuesta|cost|costs|amount|saldo|balance|cuota|presupuesto|budget|"
    r"sueldo|salario|salary|ingresos|revenue"
)
_NUMBERED = (
    r"id|pedido|orden|order|factura|invoice|recibo|receipt|ticket|tk|caso|case|ref|referencia|reference|sku|nro|n[º°]|"
    r"gu[ií]a|tracking|seguimiento|env[ií]o|contrato|contract|p[oó]liza|policy|expediente|lote|batch|serie|serial|"
    r"reserva|booking|transacci[oó]n|transaction|operaci[oó]n|comprobante|lead|task|tarea|version|versi[oó]n|build"
)
_CODES = r"c[oó]digo|code"
_JOINED = r"(?:[.:#_ \-]{1,3}(?:n[º°o.]{1,2}|nro\.?|n[uú]mero|number|num|es|is|de|of)?){1,3}"

_PLAIN = re.compile(
    rf"(?<![\d+])(?:{_DATE}|{_DATE_BACKWARDS})(?:[T ,]{{1,2}}{_TIME})?(?!\d|[-./]\d)"
    r"|(?<![\d:])\d{1,2}:[0-5]\d(?::[0-5]\d)?(?![\d:])"
    rf"|(?<![\d+]){_DATE_TIME_IN_DIGITS}(?!\d)"
    rf"|(?<!\d)(?:19|20)\d\d ?[{DASHES}] ?(?:19|20)\d\d(?!\d)"
    r"|\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"
    r"|(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.])"
    rf"|(?:[$€£¥]|\b(?:{_UNITS})\b|\b(?:{_AMOUNTS})\b(?: (?:es|de|is|of))?:?)[ \u00a0]?"
    rf"\d[\d.,]{{0,24}}(?:[ \u00a0]\d{{3}}){{0,6}}(?![{DASHES} ]?\d)"
    rf"|(?<![\d.,])\d[\d.,]{{0,24}}(?:[ \u00a0]\d{{3}}){{0,6}}[ \u00a0]?(?:[$€£¥]|\b(?:{_UNITS})\b)"
    rf"|(?:#|(?<![^\W_])(?:{_NUMBERED}){_JOINED})\d{{4,24}}\b"
    rf"|\b(?:{_CODES})\b[.:# ]{{1,3}}\d{{9,24}}\b",
    re.IGNORECASE,
)


_AROUND = 64  # characters; the longest plain span


def plain_span(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The first plain span that shares a character with `text[start:end]`. Looks only around it: most of a text is
    words, and asking this about all of it would take most of the time."""
    for found in _PLAIN.finditer(text, max(0, start - _AROUND), end + _AROUND):
        if found.start() >= end:
            return None
        if found.end() > start:
            return found.span()
    return None
