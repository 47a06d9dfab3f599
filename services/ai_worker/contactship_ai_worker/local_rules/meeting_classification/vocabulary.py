"""The phrases that speak for a value, read once from the package's YAML files."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

_FILES = files("contactship_ai_worker.local_rules.meeting_classification")


@dataclass(frozen=True, slots=True)
class Clue:
    """A phrase that speaks for `value` with `weight`."""

    value: str
    weight: float


Clues = dict[str, list[Clue]]
"""Phrase to what it speaks for; one phrase may speak for several values."""


@lru_cache(maxsize=32)
def known_clues(category: str) -> Clues:
    """What is known of `category`; empty for one that we have no vocabulary of."""
    file = _FILES / "vocabulary" / f"{category}.yaml"
    # A company's own names reach this: only plain ones may become a path.
    if not category.isalnum() or not file.is_file():
        return {}
    clues: Clues = {}
    for value, by_weight in yaml.safe_load(file.read_text("utf-8")).items():
        for weight, phrases in by_weight.items():
            for phrase in phrases:
                clues.setdefault(phrase, []).append(Clue(value, float(weight)))
    return clues


@lru_cache(maxsize=1)
def places() -> dict[str, dict[str, list[str]]]:
    """Region → `countries | people | cities | shared` → names."""
    loaded: dict[str, Any] = yaml.safe_load((_FILES / "places.yaml").read_text("utf-8"))
    return loaded


@lru_cache(maxsize=64)
def cue_words(name: str) -> frozenset[str]:
    """The words of one cue of `cues.yaml`."""
    return _cues()[name]


@lru_cache(maxsize=1)
def _cues() -> dict[str, frozenset[str]]:
    loaded = yaml.safe_load((_FILES / "cues.yaml").read_text("utf-8"))
    return {name: frozenset(words) for name, words in loaded.items()}


@lru_cache(maxsize=1)
def related() -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """(category, value) → other category → value → how much of the first one's score it gets."""
    loaded = yaml.safe_load((_FILES / "related.yaml").read_text("utf-8"))
    return {(name, value): others for name, values in loaded.items() for value, others in values.items()}
