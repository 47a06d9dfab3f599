"""Every category's value, and what is always answered: each by the phrases that speak for it, where they stand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from contactship_ai_worker.local_rules.meeting_classification import company
from contactship_ai_worker.local_rules.meeting_classification.scoring import Factor, Scorer, best, unless_negated
from contactship_ai_worker.local_rules.meeting_classification.vocabulary import (
    Clue,
    Clues,
    cue_words,
    known_clues,
    related,
)
from contactship_ai_worker.local_rules.meeting_classification.words import Hit, Text, plain
from contactship_common.classification.categories import Category

Sentiment = Literal["positive", "neutral", "negative"]


@dataclass(frozen=True, slots=True)
class Labels:
    """`evidence` is the score of each answer that has ground."""

    categories: dict[str, str | None]
    language: Literal["es", "en"]
    sentiment: Sentiment
    urgency: bool
    lost: bool
    evidence: dict[str, float] = field(default_factory=dict)


def label(text: Text, categories: Sequence[Category]) -> Labels:
    """The same for the same text and categories."""
    scores = {category.name: _scores(text, category) for category in categories}
    for name, value, share in _TALKED_OF_ANYWAY:
        if value in scores.get(name, {}):
            scores[name][value] *= share
    _support_one_another(scores)
    lost = _lost(text)
    if lost:
        for reached, share in _STAGE_OF_LOST.items():
            if reached in scores.get("purchaseStage", {}):
                scores["purchaseStage"][reached] *= share
    found: dict[str, str | None] = {}
    evidence: dict[str, float] = {}
    for category in categories:
        most = best(scores[category.name], list(category.values), at_least=_at_least(category.name))
        found[category.name] = most
        if most is not None:
            evidence[category.name] = scores[category.name][most]
    stage = found.get("purchaseStage")
    if _only_needs_were_told(found, categories):
        found["purchaseStage"] = "discovery"
    return Labels(
        categories=found,
        language=language_of(text),
        sentiment=_sentiment(text, lost=lost, closed=stage == "closure"),
        urgency=_urgency(text),
        lost=lost,
        evidence=evidence,
    )


def _only_needs_were_told(found: dict[str, str | None], categories: Sequence[Category]) -> bool:
    """A talk about what they want, with no word of an offer, is getting to know each other."""
    stage = next((category for category in categories if category.name == "purchaseStage"), None)
    if stage is None or "discovery" not in stage.values or found["purchaseStage"] is not None:
        return False
    return bool(found.get("useCase") and found.get("businessSector"))


# --- the categories -------------------------------------------------------------------------------------------------


def _sector_place(text: Text, hit: Hit) -> float:
    """Who they are is told at the beginning, often as "una cadena de …"; whom they serve with "para" or in a list."""
    if hit.is_negated:
        return 0.0
    weight = 1.6 if hit.sentence.number == 0 else 1.2 if hit.sentence.number <= 2 else 0.6
    before = hit.preceding(4)
    if cue_words("describing_words") & set(before[-3:]) and hit.sentence.number <= 3:
        weight *= 1.6
    if before and before[-1] in cue_words("not_theirs_words"):
        weight *= 0.3
    if hit.sentence.says("their_customers"):
        weight *= 0.3
    return weight


def _source_place(text: Text, hit: Hit) -> float:
    """How they came is told near the beginning, in a sentence about them and us."""
    if hit.sentence.says("unknown_source"):
        return 0.0
    weight = 1.3 - 0.6 * text.place(hit)
    if hit.sentence.says("known_us"):
        weight *= 1.6
    else:
        weight *= 0.45
    if hit.sentence.says("their_channels"):
        weight *= 0.6
    return weight * (0.2 if hit.is_negated else 1.0)


def _product_place(text: Text, hit: Hit) -> float:
    word = hit.sentence.words[hit.start]
    if word.plain in cue_words("product_words") and hit.end == hit.start + 1:
        if not word.is_capital or (set(hit.preceding(1)) & cue_words("brand_words")):
            return 0.0
        if hit.is_negated or hit.sentence.says("product_aside"):
            return 0.15
        return 1.0
    return 0.0 if hit.is_negated else 1.0


def _use_place(text: Text, hit: Hit) -> float:
    """What they want to do stands where they wish for something or were shown something."""
    if hit.is_negated:
        return 0.0
    return 1.35 if hit.sentence.says("wishes") else 1.0


def _pain_place(text: Text, hit: Hit) -> float:
    """The trouble is told before the remedy; several of its phrases begin with "no" themselves."""
    if hit.is_negated and not hit.sentence.words[hit.start].plain.startswith(("no", "sin", "nadie", "cannot")):
        return 0.25
    weight = 1.25 - 0.5 * text.place(hit)
    return weight * (1.35 if hit.sentence.says("troubles") else 1.0)


_THEIRS = frozenset(["su", "sus", "his", "her", "their"])


def _role_place(text: Text, hit: Hit) -> float:
    """Who takes part is introduced early; "su gerente", "the owner asks me" is somebody else."""
    weight = 1.6 - 1.2 * text.place(hit)
    words = hit.sentence.words
    before = hit.preceding(2)
    if hit.is_negated:
        return 0.2 * weight
    if before and before[-1] in _THEIRS and "," not in words[hit.start - 1].before:
        weight *= 0.3
    if before and before[-1] in ("el", "al", "del", "the") and hit.sentence.number > 0:
        weight *= 0.6
    return weight


def _stage_place(text: Text, hit: Hit) -> float:
    """The later it is said the more it counts."""
    if hit.is_negated and hit.sentence.words[hit.start].plain not in ("no", "sin"):
        return 0.1
    return 0.6 + 1.0 * text.place(hit)


@dataclass(frozen=True, slots=True)
class _Rule:
    factor: Factor
    at_least: float


_RULES: dict[str, _Rule] = {
    "businessSector": _Rule(_sector_place, 3.0),
    "leadSource": _Rule(_source_place, 3.5),
    "vambeProduct": _Rule(_product_place, 2.0),
    "useCase": _Rule(_use_place, 3.0),
    "primaryPainPoint": _Rule(_pain_place, 2.5),
    "decisionMakerRole": _Rule(_role_place, 2.0),
    "purchaseStage": _Rule(_stage_place, 2.0),
    "companySize": _Rule(unless_negated, 2.0),
    "region": _Rule(unless_negated, 1.0),
}
_OTHERWISE = _Rule(unless_negated, 2.0)
_BY_COUNTING: dict[str, Callable[[Text], dict[str, float]]] = {
    "companySize": lambda text: {size: 3.0} if (size := company.size_of(text)) else {},
    "region": company.region_scores,
}
# Signed, but the client is lost: mostly somebody else's contract; and a price is said in every refusal.
_STAGE_OF_LOST = {"closure": 0.3, "negotiation": 0.6}
_MOST_SUPPORT = 12.0
# Chats, questions and prices come up in most meetings, also where they are not the matter.
_TALKED_OF_ANYWAY = (
    ("useCase", "conversational_support", 0.7),
    ("primaryPainPoint", "saturated_support", 0.7),
    ("purchaseStage", "negotiation", 0.75),
)
_NAME_WEIGHT, _HINT_WEIGHT, _SHORTEST_WORD = 2.5, 1.0, 4


def _scores(text: Text, category: Category) -> dict[str, float]:
    """Each value's ground in the text."""
    if count := _BY_COUNTING.get(category.name):
        counted = {value: score for value, score in count(text).items() if value in category.values}
        if counted:
            return counted
    rule = _RULES.get(category.name, _OTHERWISE)
    return dict(_scorer(category.name, tuple(category.values.items())).scores(text, rule.factor))


def _at_least(name: str) -> float:
    return _RULES.get(name, _OTHERWISE).at_least


def _support_one_another(scores: dict[str, dict[str, float]]) -> None:
    """What is often said together: somebody who wants calls ranked mostly complains of few sales. Only what has ground
    of its own is supported, so nothing is concluded from one alone."""
    before = {name: dict(each) for name, each in scores.items()}
    for (name, value), supported in related().items():
        strength = min(before.get(name, {}).get(value, 0.0), _MOST_SUPPORT)
        for other, values in supported.items():
            for each, share in values.items():
                if before.get(other, {}).get(each, 0.0) > 0:
                    scores[other][each] += share * strength


@lru_cache(maxsize=128)
def _scorer(name: str, values: tuple[tuple[str, str], ...]) -> Scorer:
    """Known values by our vocabulary, others by the words of their name and of their hint."""
    clues: Clues = {}
    known = {clue.value for each in known_clues(name).values() for clue in each} | _counted_values(name)
    for phrase, each in known_clues(name).items():
        if kept := [clue for clue in each if clue.value in dict(values)]:
            clues[phrase] = kept
    own: dict[str, set[str]] = {}
    for value, hint in values:
        if value in known:
            continue
        spelled = plain(value.replace("_", " "))
        if stems := " ".join(_stem(word) for word in spelled.split()):
            clues.setdefault(stems, []).append(Clue(value, _NAME_WEIGHT))
        for word in Text(hint).words:
            if len(word) >= _SHORTEST_WORD and word not in cue_words("empty_words"):
                own.setdefault(_stem(word), set()).add(value)
    for word, of in own.items():
        if len(of) == 1:  # a word in two hints tells nothing apart
            clues.setdefault(word, []).append(Clue(of.pop(), _HINT_WEIGHT))
    return Scorer(clues)


def _counted_values(name: str) -> set[str]:
    return {size for _, size in company.SIZES} | {company.LARGEST} if name == "companySize" else set()


def _stem(word: str) -> str:
    return word if len(word) <= _SHORTEST_WORD else word[: max(_SHORTEST_WORD, len(word) - 2)] + "*"


# --- always answered ------------------------------------------------------------------------------------------------


def language_of(text: Text) -> Literal["es", "en"]:
    """By the little words; Spanish where that is not clear."""
    english = sum(word in cue_words("english_words") for word in text.words)
    spanish = sum(word in cue_words("spanish_words") for word in text.words)
    return "en" if english > spanish else "es"


@lru_cache(maxsize=8)
def _fixed(name: str) -> Scorer:
    return Scorer(known_clues(name))


def _urgency(text: Text) -> bool:
    def place(text: Text, hit: Hit) -> float:
        first = hit.sentence.words[hit.start].plain
        if hit.is_negated and first not in ("no", "sin", "not", "nadie"):
            return 0.0
        return 0.7 + 0.6 * text.place(hit)

    scores = _fixed("urgency").scores(text, place)
    return scores.get("true", 0.0) >= 3.0 and scores["true"] > 1.2 * scores.get("false", 0.0)


def _lost(text: Text) -> bool:
    def place(text: Text, hit: Hit) -> float:
        first = hit.sentence.words[hit.start].plain
        if hit.is_negated and first not in ("no", "not", "nada"):
            return 0.0
        return 0.7 + 0.5 * text.place(hit)

    scores = _fixed("lostClientBadMeeting").scores(text, place)
    return scores.get("true", 0.0) >= 5.0 and scores["true"] > scores.get("false", 0.0)


def _sentiment(text: Text, *, lost: bool, closed: bool) -> Sentiment:
    """The client's at the end: what is said late counts more; who has signed is pleased unless the text says not."""

    def place(text: Text, hit: Hit) -> float:
        return 0.25 if hit.is_negated else 0.6 + 0.8 * text.place(hit)

    scores = _fixed("sentiment").scores(text, place)
    good, calm, bad = (scores.get(name, 0.0) for name in ("positive", "neutral", "negative"))
    if closed and not lost:
        good += 6.0
    if lost:
        good *= 0.3
    if bad >= 5.0 and bad > good:
        return "negative"
    return "positive" if good >= 3.0 and good > calm else "neutral"
