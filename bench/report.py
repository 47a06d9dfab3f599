"""What a section hands over, and how it is shown and kept."""

import math
import os
import platform
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from contactship_devstack.machine_speed import million_steps_ms


@dataclass(frozen=True, slots=True)
class Options:
    rows: int
    requests: int


@dataclass(frozen=True, slots=True)
class Line:
    """Times of one thing that was measured, in milliseconds."""

    name: str
    times_ms: list[float]

    @property
    def median(self) -> float:
        return median(self.times_ms)

    @property
    def p95(self) -> float:
        """The smallest time that 95 % did not exceed."""
        return sorted(self.times_ms)[math.ceil(0.95 * len(self.times_ms)) - 1]


@dataclass(frozen=True, slots=True)
class Goal:
    """A promise and what was measured. `measured` None: it was not run, and a remark of the section says why. `why`
    says where the time goes; told where the promise was missed."""

    name: str
    measured: float | None
    at_least: float | None = None
    below: float | None = None
    unit: str = ""
    why: str = ""

    @property
    def met(self) -> bool:
        """What was not run is not missed."""
        if self.measured is None:
            return True
        if self.at_least is not None:
            return self.measured >= self.at_least
        return self.below is None or self.measured < self.below

    @property
    def promised(self) -> str:
        bound = f"≥ {self.at_least:,g}" if self.at_least is not None else f"< {self.below:,g}"
        return f"{bound} {self.unit}".strip()

    @property
    def found(self) -> str:
        return f"{_short(self.measured)} {self.unit}".strip() if self.measured is not None else "not run"

    @property
    def verdict(self) -> str:
        """`met` or `missed`, and by how much of the promise."""
        bound = self.at_least if self.at_least is not None else self.below
        if self.measured is None:
            return "not run"
        if not bound:
            return "met" if self.met else "missed"
        share = abs(self.measured - bound) / bound
        return f"met, {share:.0%} to spare" if self.met else f"**missed by {share:.0%}**"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:,.3g}"


@dataclass(slots=True)
class Section:
    """A heading, what was measured under which conditions, the lines, and what was promised. `table` is for what is
    no list of times: its first row is the heading."""

    title: str
    conditions: list[str]
    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)


async def timed(name: str, call: Callable[[], Awaitable[object]], times: int, *, warm_up: int = 3) -> Line:
    """Call again and again, one at a time."""
    for _ in range(warm_up):
        await call()
    measured = []
    for _ in range(times):
        begun = perf_counter()
        await call()
        measured.append((perf_counter() - begun) * 1_000)
    return Line(name, measured)


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())):
        cpu = found[1]
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB, Python {platform.python_version()}, load {load:.1f} at the end, "
        f"{million_steps_ms():.0f} ms for a million steps of Python"
    )


def aligned(rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> list[str]:
    """A Markdown table; columns from `numbers_from` on are aligned to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    shown = []
    for row in rows:
        cells = [
            f"{c:>{w}}" if n >= numbers_from else f"{c:{w}}" for n, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        shown.append(f"| {' | '.join(cells)} |")
    rule = ["-" * (w + 1) + ":" if n >= numbers_from else "-" * (w + 2) for n, w in enumerate(widths)]
    return [shown[0], f"|{'|'.join(rule)}|", *shown[1:]]


def show(section: Section) -> str:
    """The section in Markdown."""
    about = [f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}.", *section.conditions]
    parts = [f"## {section.title}", "", *about, ""]
    if section.lines:
        rows = [[line.name, f"{line.median:.1f}", f"{line.p95:.1f}"] for line in section.lines]
        parts += [*aligned([["", "median ms", "p95 ms"], *rows]), ""]
    if section.table:
        parts += [*aligned(section.table), ""]
    missed = [f"Missed: {goal.name}: {goal.why}" for goal in section.goals if goal.why and not goal.met]
    return "\n".join([*parts, *section.remarks, *missed]).rstrip() + "\n"


_GOALS_HEAD = ["section", "goal", "promised", "measured", "result"]


def write(results: Path, name: str, section: Section, order: Sequence[str]) -> None:
    """Put the section and its goals in their places; the others stay as they are."""
    before = _read(results)
    kept = dict(re.findall(r"<!-- (\w+) -->\n(.*?)(?=<!-- \w+ -->|\Z)", before, re.S))
    kept[name] = show(section)
    goals = [cells for line in before.split("<!-- ", 1)[0].splitlines() if (cells := _cells(line))[:1] != [name]]
    goals = [cells for cells in goals if cells and cells[0] in order]
    goals += [[name, goal.name, goal.promised, goal.found, goal.verdict] for goal in section.goals]
    goals.sort(key=lambda cells: order.index(cells[0]))
    head = ["# Measured", "", "Written by `make bench`; every section can be measured again by its name.", ""]
    if goals:
        head += [*aligned([_GOALS_HEAD, *goals], numbers_from=9), ""]
    parts = [f"<!-- {each} -->\n{kept[each].strip()}\n" for each in order if each in kept]
    results.write_text("\n".join([*head, *parts]))


def _cells(line: str) -> list[str]:
    """The cells of a line of a Markdown table; none of any other line."""
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("| ") else []


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""
