"""Values that a spreadsheet would run as a formula: written with an apostrophe in front, and read back without it.

OWASP, "CSV Injection": a cell that begins with one of these characters is evaluated. The rule is reversible, also for
values that begin with an apostrophe themselves.
"""

import re

_SUSPECTS = frozenset("'=+-@\t\r\n＝＋－＠")
_DANGEROUS = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NEUTRALISED = re.compile(r"''*[=+\-@\t\r\n＝＋－＠]")


def neutralise(text: str) -> str:
    """What to write into a cell."""
    # Few values begin so, and an export asks twenty times a row: the set is cheaper than the pattern.
    return f"'{text}" if text[:1] in _SUSPECTS and _DANGEROUS.match(text) else text


def restore(cell: str) -> str:
    """What `neutralise` was given."""
    return cell[1:] if cell[:1] == "'" and _NEUTRALISED.match(cell) else cell
