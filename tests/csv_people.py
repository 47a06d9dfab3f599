"""CSV files as people send them: accents, quoted newlines, formulas, and every so often something wrong."""

from collections import Counter
from dataclasses import dataclass, field

_BACK = 12  # how many rows before it the e-mail stood that a row repeats


@dataclass(slots=True)
class PeopleFile:
    """A file, and what importing it into an empty table must do. `errors` are codes by row number."""

    content: bytes
    rows: int = 0
    created: int = 0
    skipped: int = 0
    errors: dict[int, str] = field(default_factory=dict)

    @property
    def counters(self) -> tuple[int, int, int, int]:
        return self.rows, self.created, self.skipped, len(self.errors)

    @property
    def codes(self) -> Counter[str]:
        return Counter(self.errors.values())


def people_file(
    count: int, *, encoding: str = "utf-8", delimiter: str = ",", newline: str = "\r\n", name: str = "p"
) -> PeopleFile:
    """`count` rows with e-mails `{name}0@example.com`, …"""
    made = PeopleFile(b"")
    header = ("Nombre", "Apellidos", "Correo electrónico", "Teléfono", "Ciudad", "Fecha de nacimiento", "Empresa")
    lines = [delimiter.join(header)]
    row = 1
    for n in range(count):
        row += 1
        if n % 401 == 400:  # an empty line: a row of the sheet, but nobody's
            lines.append("")
            row += 1
        made.rows += 1
        cells = [
            f"José {n}",
            "Peña",
            f"{name}{n}@Example.com ",
            f"+54 9 11 {4_000_0000 + n:08d}",
            '"Córdoba,; Capital"',
            "17/08/1990" if n % 2 else "1990-08-17",
            f'"ACME ""{n}"""',
        ]
        if n % 10 == 3:
            cells[4] = f'"Calle 1{newline}Piso 2"'
        if n % 97 == 96:
            cells.append("too many")
            made.errors[row] = "wrong_column_count"
        elif n % 89 == 88:
            cells[2] = "not an e-mail"
            made.errors[row] = "email_invalid"
        elif n % 211 == 210:
            cells[1] = "Pe\x00ña"
            made.errors[row] = "control_character"
        elif n % 307 == 306:
            cells[0] = "x" * 256
            made.errors[row] = "too_long"
        elif n % 53 == 52:
            cells[2] = f"{name.upper()}{n - _BACK}@EXAMPLE.COM"
        elif n % 101 == 100:
            cells[0] = '"=HYPERLINK(""http://evil.example"")"'
        lines.append(delimiter.join(cells))
    # A repeated e-mail is skipped only if the row it repeats was imported; otherwise it is the first of its kind.
    made.skipped = _skipped(count)
    made.created = made.rows - made.skipped - len(made.errors)
    made.content = (newline.join(lines) + newline).encode(encoding)
    return made


def _skipped(count: int) -> int:
    return sum(_kind(n) == "repeated" and _kind(n - _BACK) == "good" for n in range(count))


def _kind(n: int) -> str:
    if n % 97 == 96 or n % 89 == 88 or n % 211 == 210 or n % 307 == 306:
        return "bad"
    return "repeated" if n % 53 == 52 else "good"
