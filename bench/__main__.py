"""`python -m bench [section ...]`: measure, print, and write the result into RESULTS.md.

Exit status 1: a goal was missed.
"""

import argparse
import asyncio
import importlib
import logging
import sys
from pathlib import Path

import structlog

from bench.report import Options, Section, show, write

SECTIONS = ("http", "tasks", "search", "memory", "kpis", "conversations", "sockets", "webhooks")
"""Modules of this package, in the order of RESULTS.md."""

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("section", nargs="*", choices=[*SECTIONS, []], help="what to measure; default: everything")
    parser.add_argument("--rows", type=int, default=1_000_000, help="size of the data set (1,000,000)")
    parser.add_argument("--requests", type=int, default=60, help="requests a line (60)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to write")
    given = parser.parse_args()
    # A line for each request would be most of what is measured.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    options = Options(rows=given.rows, requests=given.requests)
    missed = 0
    for name in given.section or SECTIONS:
        section: Section = asyncio.run(importlib.import_module(f"bench.{name}").run(options))
        print(show(section))
        write(given.results, name, section, SECTIONS)
        for goal in section.goals:
            print(f"{name}: {goal.name}: {goal.found}, promised {goal.promised}: {goal.verdict.strip('*')}")
            missed += not goal.met
    if missed:
        sys.exit(f"{missed} goals were missed")


if __name__ == "__main__":
    main()
