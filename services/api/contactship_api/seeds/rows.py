"""From a CSV file of meetings, or the bundled ones, to rows that can be stored; or to the reason why not."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from contactship_api.seeds.errors import ColumnsMissing, ColumnsRepeated, TooManyRows
from contactship_api.seeds.schemas import RowProblem
from contactship_common.demo import demo
from contactship_common.lead_csv.encoding import EncodingScan
from contactship_common.lead_csv.errors import FileEmpty, NoRows
from contactship_common.lead_csv.formulas import restore
from contactship_common.lead_csv.headers import plain
from contactship_common.lead_csv.records import Record, read_records
from contactship_common.lead_csv.rows import RowRefused, check_email, is_blank

MAX_ROWS = 5_000
COLUMNS = {
    "name": "Nombre",
    "email": "Correo Electronico",
    "phone": "Numero de Telefono",
    "meeting_at": "Fecha de la Reunion",
    "seller": "Vendedor asignado",
    "closed": "closed",
    "transcript": "Transcripcion",
}
_NEEDED = ("name", "meeting_at", "seller", "transcript")
_BY_SPELLING = {plain(spelling): name for name, spelling in COLUMNS.items()}
_DELIMITERS = (",", ";", "\t", "|")
_LONGEST = {"name": 255, "seller": 255, "phone": 50}

_SPACES = re.compile(r"\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_DAY_FIRST = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})\b")
_YES = frozenset({"1", "true", "yes", "si", "x", "closed", "cerrado", "cerrada"})
_NO = frozenset({"", "0", "false", "no", "open", "abierto", "abierta"})


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One meeting. `key` is the same whenever the same meeting is read; `number` is for reports."""

    number: int
    key: str
    name: str
    email: str | None
    phone: str | None
    meeting_at: datetime
    seller: str
    closed: bool
    transcript: str | None


def bundled() -> list[SeedRow]:
    """The demo meetings."""
    return [
        SeedRow(
            number=number,
            key=f"demo:{meeting.key}",
            name=meeting.name,
            email=check_email(meeting.email) if meeting.email else None,
            phone=meeting.phone or None,
            meeting_at=datetime.combine(meeting.meeting_at, datetime.min.time(), UTC),
            seller=meeting.seller,
            closed=meeting.closed,
            transcript=meeting.transcript or None,
        )
        for number, meeting in enumerate(demo.meetings(), 1)
    ]


def read_csv(content: bytes) -> tuple[list[SeedRow], list[RowProblem]]:
    """The rows of a file and what is wrong with the others. Takes a moment of CPU for a large file.

    Raises:
        FileEmpty, NoRows, NotCsv, EncodingUnknown, LineTooLong, ColumnsMissing, ColumnsRepeated,
        TooManyRows
    """
    scan = EncodingScan()
    scan.feed(content)
    encoding = scan.decide()
    text = content[encoding.start_byte :].decode(encoding.name)
    if not text.strip():
        raise FileEmpty
    header, records = _best_reading(text)
    columns = [_BY_SPELLING.get(plain(cell)) for cell in header.cells or ()]
    if missing := [COLUMNS[name] for name in _NEEDED if name not in columns]:
        raise ColumnsMissing(missing)
    if repeated := [COLUMNS[name] for name in COLUMNS if columns.count(name) > 1]:
        raise ColumnsRepeated(repeated)
    rows: list[SeedRow] = []
    problems: list[RowProblem] = []
    for record in records:
        if record.cells is not None and is_blank(record.cells):
            continue
        if len(rows) + len(problems) == MAX_ROWS:
            raise TooManyRows
        try:
            rows.append(_row(record, columns))
        except RowRefused as refused:
            problems.append(RowProblem(row=record.number, code=refused.code, message=refused.message))
    if not rows and not problems:
        raise NoRows
    return rows, problems


def _best_reading(text: str) -> tuple[Record, Iterator[Record]]:
    """The header, read with the delimiter that gives it the most names we know, and the records behind it."""
    best: tuple[int, Record, Iterator[Record]] | None = None
    for delimiter in _DELIMITERS:
        records = read_records(text, delimiter=delimiter, number=1, at_end=True)
        header = next((r for r in records if r.cells is None or not is_blank(r.cells)), None)
        if header is None:
            raise FileEmpty
        known = sum(plain(cell) in _BY_SPELLING for cell in header.cells or ())
        if best is None or known > best[0]:
            best = known, header, records
    assert best is not None
    return best[1], best[2]


def _row(record: Record, columns: Sequence[str | None]) -> SeedRow:
    if record.cells is None:
        message = "longer than 64 Ki characters, or a quotation mark is never closed"
        raise RowRefused("row_not_readable", message)
    if any(cell.strip() for cell in record.cells[len(columns) :]):
        raise RowRefused("too_many_cells", "the row has more cells than the header")
    cells = {name: restore(cell) for name, cell in zip(columns, record.cells, strict=False) if name is not None}
    fields = {name: _line(name, cells.get(name, "")) for name in COLUMNS if name != "transcript"}
    for name in ("name", "seller"):
        if not fields[name]:
            raise RowRefused(f"{name}_missing", f"{COLUMNS[name]} is required")
    email = check_email(fields["email"]) if fields["email"] else None
    meeting_at, closed = _moment(fields["meeting_at"]), _closed(fields["closed"])
    transcript = _CONTROL.sub("", cells.get("transcript", "").replace("\r\n", "\n").replace("\r", "\n")).strip() or None
    who = (plain(fields["name"]), email, fields["phone"], meeting_at.isoformat(), plain(fields["seller"]), transcript)
    return SeedRow(
        number=record.number,
        key=f"csv:{hashlib.sha256(json.dumps(who).encode()).hexdigest()}",
        name=fields["name"],
        email=email,
        phone=fields["phone"] or None,
        meeting_at=meeting_at,
        seller=fields["seller"],
        closed=closed,
        transcript=transcript,
    )


def _line(name: str, text: str) -> str:
    line = _SPACES.sub(" ", _CONTROL.sub("", text)).strip()
    if len(line) > _LONGEST.get(name, 2_048):
        raise RowRefused("too_long", f"{COLUMNS[name]}: longer than {_LONGEST.get(name, 2_048)} characters")
    return line


def _moment(text: str) -> datetime:
    """A day or a time, ISO 8601 or day first; without a zone it is UTC."""
    if not text:
        raise RowRefused("date_missing", f"{COLUMNS['meeting_at']} is required")
    try:
        moment = datetime.fromisoformat(_DAY_FIRST.sub(lambda m: f"{m[3]}-{m[2]:0>2}-{m[1]:0>2}", text, count=1))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        message = f"{COLUMNS['meeting_at']}: write 2026-03-10, 2026-03-10T15:00:00Z or 10/03/2026"
        raise RowRefused("date_invalid", message) from None
    if not 1900 <= moment.year <= 9000:
        raise RowRefused("date_invalid", f"{COLUMNS['meeting_at']}: give a year between 1900 and 9000")
    return moment


def _closed(text: str) -> bool:
    word = plain(text)
    if word not in _YES | _NO:
        raise RowRefused("closed_invalid", "closed: write 1 or 0")
    return word in _YES
