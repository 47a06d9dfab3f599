"""Cutting text into records, with exact positions, so that a run can go on where the one before stopped.

`csv.reader` pulls physical lines from an iterator of ours, so what it has taken is known. A quotation mark that is
never closed would swallow the rest of the file as one value; here it costs the one row in which it stands.
"""

import csv
import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

MAX_RECORD_CHARS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """`cells` is None where no record could be read: over 64 Ki characters, or a quotation mark that never closes.
    `end` is the position behind it, in characters of the text."""

    number: int
    cells: list[str] | None
    end: int


class _NotClosed(Exception):
    """The record goes on, but may not or cannot be read further. `can_go_on`: more text would help."""

    def __init__(self, *, can_go_on: bool) -> None:
        super().__init__()
        self.can_go_on = can_go_on


class _Lines:
    """Physical lines with their ends, for `csv.reader`; remembers those of the current record."""

    def __init__(self, text: str, *, at_end: bool) -> None:
        self._source = io.StringIO(text, newline="")  # splits at \n, \r\n and \r, and at nothing else
        self._again: deque[str] = deque()
        self._record: list[str] = []
        self._chars = 0
        self._at_end = at_end
        self.position = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._source.readline()
        if not line:
            if not self._record:
                raise StopIteration
            raise _NotClosed(can_go_on=not self._at_end)
        self._record.append(line)
        self._chars += len(line)
        if self._chars > MAX_RECORD_CHARS:
            raise _NotClosed(can_go_on=False)
        return line

    def take_record(self) -> None:
        """What has been pulled is one record."""
        self.position += self._chars
        self._record, self._chars = [], 0

    def take_first_line(self) -> None:
        """Only the first line is; the others are pulled again."""
        self._again.extendleft(reversed(self._record[1:]))
        self.position += len(self._record[0])
        self._record, self._chars = [], 0


def read_records(text: str, *, delimiter: str, number: int, at_end: bool) -> Iterator[Record]:
    """The complete records of `text`, which begins at a record; `number` is that of the first.

    Unless the text is the file's end (`at_end`), what may go on behind it is left out. Empty lines are records without
    cells: a spreadsheet counts them.
    """
    lines = _Lines(text if at_end else _whole_lines(text), at_end=at_end)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    while True:
        cells: list[str] | None
        try:
            cells = next(reader)
            lines.take_record()
        except StopIteration:
            return
        except _NotClosed as broken:
            if broken.can_go_on:
                return
            cells = None
            lines.take_first_line()
        yield Record(number, cells, lines.position)
        number += 1


def _whole_lines(text: str) -> str:
    """Without the last line, if it may go on. A \\r at the end may be half of \\r\\n."""
    end = max(text.rfind("\n"), text.rfind("\r", 0, max(0, len(text) - 1)))
    return text[: end + 1]
