"""The table that a run prints: a line a fault."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`broken`: connections that ended without an answer; `refused`: answers 503; `wrong`: any other 5xx, and answers
    that a client should never get; `recovered_s`: from the end of the fault until everything accepted was done, None:
    it never was; `at_most_s`: how long that may take, where there is a promise."""

    fault: str
    requests: int
    broken: int
    refused: int
    lost: int
    double: int
    stuck: int
    wrong: int
    recovered_s: float | None
    at_most_s: float | None = None

    @property
    def good(self) -> bool:
        late = self.recovered_s is None or (self.at_most_s is not None and self.recovered_s > self.at_most_s)
        return not (self.lost or self.double or self.stuck or self.wrong or late)


_HEAD = ("fault", "requests", "broken", "503", "lost", "double", "stuck", "wrong", "recovered")


def render(rows: Sequence[Row]) -> str:
    """The rows under their heads, aligned; what is not good is marked."""
    lines = [_HEAD, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def _cells(row: Row) -> tuple[str, ...]:
    recovered = "never" if row.recovered_s is None else f"{row.recovered_s:.1f} s"
    counts = (row.requests, row.broken, row.refused, row.lost, row.double, row.stuck, row.wrong)
    return (row.fault if row.good else f"✗ {row.fault}", *map(str, counts), recovered)
