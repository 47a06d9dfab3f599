"""`make eval`: how often the classification's answers agree with labels that people gave.

Asks the real engine with the real prompt; nothing is stored. Without arguments it reads the bundled demo meetings and
asks whoever AI_PROVIDERS names, which is the local rules where no key is set.
"""

import argparse
import asyncio
import csv
import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError
from sqlmodel import SQLModel

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.meeting_classification import (
    LIMITS,
    MAX_OUTPUT_TOKENS,
    PROMPT_NAME,
    facts_of,
    output_model,
    prompt_of,
    split,
)
from contactship_common.classification.categories import Category, WrongCategories, allowed_values, load_categories
from contactship_common.demo.demo import labels, meetings
from contactship_common.models.ai_call import AICall
from contactship_common.settings import AISettings, explain
from contactship_common.settings.ai import KNOWN_PROVIDERS
from contactship_common.tasks.outcomes import TaskError

HALVES = ("a", "b")
_AT_ONCE = 8
_MICRO = 1_000_000
_MORE_COLUMNS = "\0"
_TRANSCRIPT_COLUMNS = ("Transcripcion", "transcript")


@dataclass(frozen=True, slots=True)
class Example:
    """A transcript and its labels: field → value, None where the transcript gives no ground."""

    key: str
    transcript: str
    labels: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class FieldResult:
    """`majority` is what answering the most frequent label everywhere would reach; `named` counts the labels that are
    not empty, `right_named` how many of those were found."""

    field: str
    n: int
    right: int
    named: int
    right_named: int
    majority: int

    @property
    def accuracy(self) -> float:
        return self.right / self.n if self.n else 0.0

    @property
    def accuracy_named(self) -> float:
        return self.right_named / self.named if self.named else 0.0


@dataclass(slots=True)
class Report:
    """One set of examples. `failed` are keys to error codes: questions without an answer count as wrong."""

    name: str
    fields: list[FieldResult]
    failed: dict[str, str] = field(default_factory=dict)
    calls: list[AICall] = field(default_factory=list)

    def accuracy(self, name: str) -> float:
        """Accuracy of one field, 0..1; KeyError for a field that was not measured."""
        return {result.field: result.accuracy for result in self.fields}[name]


class WrongFile(ValueError):
    """A file of meetings or labels cannot be used; the message says why."""


async def evaluate(
    name: str, examples: Sequence[Example], settings: AISettings, categories: tuple[Category, ...]
) -> Report:
    """Ask about every example and compare field by field."""
    calls: list[AICall] = []

    def keep(row: SQLModel) -> None:
        if isinstance(row, AICall):
            calls.append(row)

    engine = AIEngine(settings, keep=keep)
    prompt, model = prompt_of(categories, settings.ai_language), output_model(categories)
    at_once = asyncio.Semaphore(_AT_ONCE)
    answers: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}

    async def ask(example: Example) -> None:
        async with at_once:
            try:
                answer = await engine.ask(
                    prompt,
                    facts_of(example.transcript, None),
                    model,
                    kind=f"eval.{PROMPT_NAME}",
                    max_output_tokens=MAX_OUTPUT_TOKENS,
                    limits=LIMITS,
                )
            except TaskError as error:
                failed[example.key] = error.code
            else:
                answers[example.key] = split(answer.value, categories)[1]

    try:
        await asyncio.gather(*map(ask, examples))
    finally:
        await engine.aclose()
    return Report(name, _compare(examples, answers), failed, calls)


def _compare(examples: Sequence[Example], answers: Mapping[str, Mapping[str, Any]]) -> list[FieldResult]:
    by_field: dict[str, list[tuple[str | None, str | None]]] = defaultdict(list)
    for example in examples:
        for name, label in example.labels.items():
            # No answer is never right, also where the label is empty.
            given = _as_label(answers[example.key].get(name)) if example.key in answers else "\0"
            by_field[name].append((label, given))
    return [
        FieldResult(
            field=name,
            n=len(pairs),
            right=sum(label == given for label, given in pairs),
            named=sum(label is not None for label, _ in pairs),
            right_named=sum(label == given for label, given in pairs if label is not None),
            majority=Counter(label for label, _ in pairs).most_common(1)[0][1],
        )
        for name, pairs in by_field.items()
    ]


def _as_label(value: Any) -> str | None:
    return str(value).lower() if isinstance(value, bool) else value


# --- what is asked --------------------------------------------------------------------------------------------------


def demo_examples(half: str) -> list[Example]:
    """The bundled meetings of one half."""
    gold = labels("a" if half == "a" else "b")
    return [Example(each.key, each.transcript, gold[each.key]) for each in meetings() if each.key in gold]


def read_examples(meetings_file: Path, labels_file: Path, categories: tuple[Category, ...]) -> list[Example]:
    """Meetings and labels of your own. The meetings have a column `Transcripcion` or `transcript`; the labels a column
    `key`, 1 for the first meeting (`x:1` does too), and one for each field to be measured; empty means no ground.

    Raises:
        WrongFile
    """
    transcripts = [_transcript(row, meetings_file) for row in _rows(meetings_file)]
    examples = []
    for row in _rows(labels_file):
        key = row.pop("key", "") or ""
        number = key.rpartition(":")[2]
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= len(transcripts)):
            raise WrongFile(f"{labels_file}: the key {key!r} is no row of {meetings_file}")
        labelled = {name: (value or "").strip() or None for name, value in row.items()}
        for name, value in labelled.items():
            _check_label(labels_file, categories, name, value)
        examples.append(Example(key, transcripts[int(number) - 1], labelled))
    if len({example.key for example in examples}) < len(examples):
        raise WrongFile(f"{labels_file}: a key stands there twice")
    return examples


def _check_label(file: Path, categories: tuple[Category, ...], name: str, value: str | None) -> None:
    allowed = allowed_values(categories, name)
    if allowed is None:
        raise WrongFile(f"{file}: no such field: {name}")
    if value is not None and value not in map(_as_label, allowed):
        raise WrongFile(f"{file}: {value} is no value of {name}")


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened, restkey=_MORE_COLUMNS))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise WrongFile(f"{file} cannot be read: {type(error).__name__}") from None
    if any(_MORE_COLUMNS in row for row in rows):
        raise WrongFile(f"{file}: a row has more columns than its header")
    return rows


def _transcript(row: Mapping[str, str], file: Path) -> str:
    for column in _TRANSCRIPT_COLUMNS:
        if column in row:
            return row[column] or ""
    raise WrongFile(f"{file} has no column {' or '.join(_TRANSCRIPT_COLUMNS)}")


# --- what is said ---------------------------------------------------------------------------------------------------

_TITLES = {
    "a": "half a: the local rules were written on it",
    "b": "half b: held out, nobody wrote rules on it",
}


def table(reports: Sequence[Report]) -> str:
    """The figures in columns: accuracy, the same without empty labels, examples, and what a constant answer reaches."""
    lines = [f"{report.name:>6} = {_TITLES.get(report.name, 'your file')}" for report in reports]
    lines.append("named = only where the label is not empty; constant = the most frequent label everywhere\n")
    head = "".join(f" | {report.name:>6} {'named':>6} {'n':>4} {'constant':>8}" for report in reports)
    lines += [f"{'field':<22}{head}", "-" * (22 + len(head))]
    results = [{result.field: result for result in report.fields} for report in reports]
    for name in dict.fromkeys(name for by_field in results for name in by_field):
        cells = [_cell(by_field.get(name)) for by_field in results]
        lines.append(f"{name:<22}{''.join(cells)}")
    for report in reports:
        if report.failed:
            codes = ", ".join(f"{code} {n}x" for code, n in Counter(report.failed.values()).most_common())
            lines.append(f"\n{report.name}: {len(report.failed)} without an answer, counted as wrong: {codes}")
    return "\n".join([*lines, "", _cost([call for report in reports for call in report.calls])])


def _cell(result: FieldResult | None) -> str:
    if result is None or not result.n:
        return f" | {'-':>6} {'-':>6} {'-':>4} {'-':>8}"
    constant = result.majority / result.n
    return f" | {result.accuracy:>6.0%} {result.accuracy_named:>6.0%} {result.n:>4} {constant:>8.0%}"


def _cost(calls: Sequence[AICall]) -> str:
    models = ", ".join(sorted({f"{call.provider}:{call.model}" for call in calls})) or "nobody"
    tokens = sum(call.input_tokens for call in calls), sum(call.output_tokens for call in calls)
    cost = sum(call.cost_micro_usd for call in calls) / _MICRO
    return f"asked {models}: {len(calls)} calls, {tokens[0]} tokens in, {tokens[1]} out, {cost:.4f} USD (AI_PRICES)"


def below(report: Report, wanted: Mapping[str, float]) -> list[str]:
    """What falls short of the accuracy wanted, in words."""
    measured = {result.field: result.accuracy for result in report.fields}
    return [
        f"{report.name}: {name} has {measured.get(name, 0.0):.0%}, wanted {least:.0%}"
        for name, least in wanted.items()
        if measured.get(name, 0.0) < least
    ]


# --- the command ----------------------------------------------------------------------------------------------------


def _wanted(text: str) -> tuple[str, float]:
    name, _, least = text.partition("=")
    try:
        return name, float(least)
    except ValueError:
        raise argparse.ArgumentTypeError("write field=0.6") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make eval", description=__doc__)
    parser.add_argument("--provider", choices=KNOWN_PROVIDERS, help="ask this one instead of AI_PROVIDERS")
    parser.add_argument("--half", choices=(*HALVES, "both"), default="both", help="which of the bundled meetings")
    parser.add_argument("--file", type=Path, help="meetings of your own (CSV); needs --labels")
    parser.add_argument("--labels", type=Path, help="their labels (CSV)")
    parser.add_argument("--categories", default="", help="your file of categories, as CLASSIFICATION_FILE names it")
    parser.add_argument(
        "--min", type=_wanted, action="append", default=[], metavar="FIELD=0.6",
        help="exit with 1 if the last set of examples has less",
    )  # fmt: skip
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 0, or 1 where `--min` is missed, 2 for arguments or settings that cannot be used."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if (asked.file is None) != (asked.labels is None):
        parser.error("--file and --labels go together")
    # One log line a call would bury the table.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        settings = AISettings(ai_providers=(asked.provider,)) if asked.provider else AISettings()
        categories = load_categories(asked.categories)
        reports = asyncio.run(_reports(asked, settings, categories))
    except ValidationError as error:
        sys.stderr.write(f"{explain(error)}\n")
        return 2
    except (WrongFile, WrongCategories) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{table(reports)}\n")
    missed = below(reports[-1], dict(asked.min))
    sys.stdout.write("".join(f"too low: {line}\n" for line in missed))
    return 1 if missed else 0


async def _reports(asked: argparse.Namespace, settings: AISettings, categories: tuple[Category, ...]) -> list[Report]:
    if asked.file is not None:
        return [await evaluate("file", read_examples(asked.file, asked.labels, categories), settings, categories)]
    halves = HALVES if asked.half == "both" else (asked.half,)
    return [await evaluate(half, demo_examples(half), settings, categories) for half in halves]


if __name__ == "__main__":
    sys.exit(main())
