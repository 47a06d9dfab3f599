"""Read the bundled demo meetings and their gold labels from the package's CSV files."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Literal

MEETINGS = ("meetings_a.csv", "meetings_b.csv")


@dataclass(frozen=True, slots=True)
class DemoMeeting:
    """One row of a meetings file; `key` is the half and the row number, such as `a:1`."""

    key: str
    name: str
    email: str
    phone: str
    meeting_at: date
    seller: str
    closed: bool
    transcript: str


def meetings() -> list[DemoMeeting]:
    """Every demo meeting: half a in file order, then half b."""
    return [
        DemoMeeting(
            key=f"{file.removeprefix('meetings_').removesuffix('.csv')}:{number}",
            name=row["Nombre"],
            email=row["Correo Electronico"],
            phone=row["Numero de Telefono"],
            meeting_at=date.fromisoformat(row["Fecha de la Reunion"]),
            seller=row["Vendedor asignado"],
            closed=row["closed"] == "1",
            transcript=row["Transcripcion"],
        )
        for file in MEETINGS
        for number, row in enumerate(_rows(file), 1)
    ]


def labels(half: Literal["a", "b"]) -> dict[str, dict[str, str | None]]:
    """The gold labels of one half by meeting key; None where the transcript gives no ground.

    Booleans stay the texts `true` and `false`, as in the file.
    """
    return {row.pop("key"): {name: value or None for name, value in row.items()} for row in _rows(f"labels_{half}.csv")}


def _rows(file: str) -> Iterator[dict[str, str]]:
    text = files("contactship_common.demo").joinpath(file).read_text(encoding="utf-8")
    yield from csv.DictReader(io.StringIO(text))
