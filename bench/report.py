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


@dataclass(slots=True)
class Section:
    """A heading, what was measured under which conditions, and the lines."""

    title: str
    conditions: list[str]
    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


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
    return f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB, Python {platform.python_version()}, load {load:.1f} at the end"


def show(section: Section) -> str:
    """The section in Markdown."""
    width = max(len(line.name) for line in section.lines)
    rows = [f"| {'':{width}} | median ms | p95 ms |", f"|-{'-' * width}-|----------:|-------:|"]
    rows += [f"| {line.name:{width}} | {line.median:9.1f} | {line.p95:6.1f} |" for line in section.lines]
    about = [f"{datetime.now(UTC):%Y-%m-%d}, {_machine()}.", *section.conditions]
    return "\n".join([f"## {section.title}", "", *about, "", *rows, "", *section.remarks]).rstrip() + "\n"


def write(results: Path, name: str, section: Section, order: Sequence[str]) -> None:
    """Put the section in its place; the others stay as they are."""
    kept = dict(re.findall(r"<!-- (\w+) -->\n(.*?)(?=<!-- \w+ -->|\Z)", _read(results), re.S))
    kept[name] = show(section)
    head = "# Measured\n\nWritten by `make bench`; every section can be measured again by its name.\n"
    parts = [f"<!-- {each} -->\n{kept[each].strip()}\n" for each in order if each in kept]
    results.write_text("\n".join([head, *parts]))


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""
