"""Which value of a category has the most ground in a text."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from contactship_ai_worker.local_rules.meeting_classification.vocabulary import Clues
from contactship_ai_worker.local_rules.meeting_classification.words import Hit, Phrases, Text

Factor = Callable[[Text, Hit], float]
"""How much a hit counts where it stands; 0 drops it."""

_AGAIN = 0.25
_MOST_AGAIN = 3
# Many weak words make no strong one: "mensajes" and "preguntas" stand in every second talk.
_WEAK, _WEAK_TOGETHER = 2.0, 3.0


class Scorer:
    """The clues of one category, ready to be looked for."""

    def __init__(self, clues: Clues) -> None:
        self._clues = clues
        self._phrases = Phrases(clues)

    def scores(self, text: Text, factor: Factor) -> dict[str, float]:
        """Value to score. The best place of a phrase counts, further ones a little; of phrases that overlap on the same
        words for the same value only the heaviest counts."""
        taken: dict[tuple[str, int, int], float] = {}
        scores: dict[str, float] = defaultdict(float)
        found = self._phrases.find(text)
        weighed = [
            (clue.weight * how_much, clue.value, phrase, hit)
            for phrase, hits in found.items()
            for hit in hits
            if (how_much := factor(text, hit)) > 0
            for clue in self._clues[phrase]
        ]
        times: dict[tuple[str, str], int] = defaultdict(int)
        weak: dict[str, float] = defaultdict(float)
        for weight, value, phrase, hit in sorted(weighed, key=lambda each: (-each[0], each[1], each[2])):
            spots = [(value, hit.sentence.number, index) for index in range(hit.start, hit.end)]
            if any(spot in taken for spot in spots):
                continue
            for spot in spots:
                taken[spot] = weight
            before = times[value, phrase]
            times[value, phrase] += 1
            if before > _MOST_AGAIN:
                continue
            gain = weight if before == 0 else weight * _AGAIN
            if weight <= _WEAK:
                gain = min(gain, _WEAK_TOGETHER - weak[value])
                weak[value] += gain
            scores[value] += gain
        return scores


def best(scores: Mapping[str, float], order: list[str], *, at_least: float) -> str | None:
    """The value with the highest score, the earlier in `order` on a tie; None below `at_least`."""
    value = max(order, key=lambda each: (scores.get(each, 0.0), -order.index(each)), default=None)
    return value if value is not None and scores.get(value, 0.0) >= at_least else None


def unless_negated(text: Text, hit: Hit) -> float:
    """Counts but where a negation stands before it."""
    return 0.0 if hit.is_negated else 1.0
