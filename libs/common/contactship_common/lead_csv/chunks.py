"""Reading a file of leads in bounded steps: the layout once, then a chunk of rows at a time.

A window is a part of the file that begins at a record. `WINDOW_BYTES` is enough for any record that is accepted, so
every chunk but the last moves on.
"""

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from contactship_common.lead_csv.encoding import Encoding
from contactship_common.lead_csv.errors import EmailColumnMissing, FileEmpty, NoRows
from contactship_common.lead_csv.headers import Column, guess, map_columns
from contactship_common.lead_csv.records import Record, read_records
from contactship_common.lead_csv.rows import RowError, RowRefused, is_blank, to_lead
from contactship_common.lead_intake import NewLead

WINDOW_BYTES = 1024 * 1024
CHUNK_ROWS = 2_000
DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARS = 64 * 1024
_SAMPLE_ROWS = 200
_SEPARATOR_LINE = re.compile(r"\"?sep=([,;\t|])\"?\r?\n", re.IGNORECASE)  # how Excel is told the delimiter


@dataclass(frozen=True, slots=True)
class Layout:
    encoding: str
    delimiter: str
    columns: list[Column]

    def stored(self) -> dict[str, Any]:
        """The columns as JSON that keeps their order."""
        return {"columns": [[column.name, column.target] for column in self.columns]}

    @classmethod
    def load(cls, encoding: str, delimiter: str, stored: Mapping[str, Any]) -> "Layout":
        return cls(encoding, delimiter, [Column(name, target) for name, target in stored["columns"]])


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record begins: its byte, and its row as a spreadsheet counts."""

    byte: int
    row: int


@dataclass(slots=True)
class Chunk:
    leads: list[NewLead] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    after: Position = field(default_factory=lambda: Position(0, 1))

    @property
    def rows(self) -> int:
        return len(self.leads) + len(self.errors)


def read_layout(
    head: bytes, encoding: Encoding, *, at_end: bool, mapping: Mapping[str, str | None] | None
) -> tuple[Layout, Position]:
    """How to read the file, and where its rows begin. `head` is its first window; `at_end`: all of it.

    Raises:
        FileEmpty, NoRows, EmailColumnMissing, NameColumnMissing, MappingRefused
    """
    text = _decode(head[encoding.start_byte :], encoding.name, at_end=at_end)
    marked = _SEPARATOR_LINE.match(text)
    body = text[marked.end() :] if marked else text
    delimiter = marked[1] if marked else _best_delimiter(body, at_end=at_end)
    records = read_records(body, delimiter=delimiter, number=1, at_end=at_end)
    header = _first_filled(records)
    if header is None:
        if at_end and not body.strip():
            raise FileEmpty
        raise EmailColumnMissing
    columns = map_columns(header.cells or [], mapping)
    if at_end and _first_filled(records, or_broken=True) is None:
        raise NoRows
    begins = len(text) - len(body) + header.end
    byte = encoding.start_byte + len(text[:begins].encode(encoding.name))
    return Layout(encoding.name, delimiter, columns), Position(byte, header.number + 1)


def read_chunk(window: bytes, layout: Layout, start: Position, *, at_end: bool, limit: int = CHUNK_ROWS) -> Chunk:
    """The next rows, at most `limit`, from the window that begins at `start`; `at_end`: it reaches the file's end.

    Raises:
        ValueError: the window is too small for a record.
    """
    text = _decode(window, layout.encoding, at_end=at_end)
    chunk = Chunk()
    end, row = 0, start.row
    for record in read_records(text, delimiter=layout.delimiter, number=start.row, at_end=at_end):
        end, row = record.end, record.number + 1
        _take(chunk, record, layout)
        if chunk.rows == limit:
            break
    if not end and not at_end:
        raise ValueError("no whole record fits into the window")
    chunk.after = Position(start.byte + len(text[:end].encode(layout.encoding)), row)
    return chunk


def _take(chunk: Chunk, record: Record, layout: Layout) -> None:
    if record.cells is None:
        message = "longer than 64 Ki characters, or a quotation mark is never closed"
        chunk.errors.append(RowError(record.number, "row_not_readable", message))
    elif not is_blank(record.cells):
        try:
            chunk.leads.append(to_lead(record.cells, layout.columns))
        except RowRefused as refused:
            chunk.errors.append(RowError(record.number, refused.code, refused.message))


def _decode(raw: bytes, encoding: str, *, at_end: bool) -> str:
    """Without a character that is cut off at the window's end."""
    return codecs.getincrementaldecoder(encoding)().decode(raw, at_end)


def _first_filled(records: Iterator[Record], *, or_broken: bool = False) -> Record | None:
    for record in records:
        if (or_broken and record.cells is None) or (record.cells and not is_blank(record.cells)):
            return record
    return None


def _best_delimiter(text: str, *, at_end: bool) -> str:
    """The one that gives the header the most names we know; then the one that cuts most rows like the header; then the
    one that makes the most columns. (`csv.Sniffer` fails on quoted newlines and takes letters for delimiters.)"""
    sample, whole = text[:_SAMPLE_CHARS], at_end and len(text) <= _SAMPLE_CHARS

    def score(delimiter: str) -> tuple[int, float, int]:
        records = read_records(sample, delimiter=delimiter, number=1, at_end=whole)
        rows = [r.cells for r in islice(records, _SAMPLE_ROWS) if r.cells and not is_blank(r.cells)]
        if not rows:
            return (0, 0.0, 0)
        widths = Counter(map(len, rows))
        width = len(rows[0])
        known = sum(guess(cell) is not None for cell in rows[0])
        return (known, widths[width] / len(rows) if width > 1 else 0.0, width)

    return max(DELIMITERS, key=score)
