"""A meeting's classification by rules: a category gets a value only where the transcript gives ground for it.

The rules are vocabulary (`vocabulary/*.yaml`, `places.yaml`) in Spanish and English, weighed by where it stands. They
know nothing of any one client; what they reach is measured by `make eval`.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from contactship_ai_worker.fence import clean
from contactship_ai_worker.local_rules.meeting_classification.labels import Labels, label
from contactship_ai_worker.local_rules.meeting_classification.texts import texts
from contactship_ai_worker.local_rules.meeting_classification.words import Text
from contactship_ai_worker.meeting_classification import FixedOutput
from contactship_common.settings.ai import Language

_LEAST_SURE, _MOST_SURE, _SURER_BY_FIELD = 0.1, 0.5, 0.04
_SURE_SCORE = 6.0


def answer(facts: Mapping[str, Any], language: Language, output_model: type[BaseModel]) -> BaseModel:
    """The same for the same transcript. `output_model` is made from the categories (`meeting_classification`)."""
    if not issubclass(output_model, FixedOutput):
        raise TypeError("the classification's rules need the categories of its output model")
    text = Text(_flat(facts.get("transcript")))
    labels = label(text, output_model.asked_categories)
    fixed = {
        "language": labels.language,
        "sentiment": labels.sentiment,
        "urgency": labels.urgency,
        "lostClientBadMeeting": labels.lost,
        "confidenceScore": _confidence(labels),
    }
    return output_model.model_validate(fixed | labels.categories | texts(text, labels, language))


def _confidence(labels: Labels) -> float:
    """Low, as rules deserve; higher the more answers stand on several phrases."""
    surely = sum(min(1.0, score / _SURE_SCORE) for score in labels.evidence.values())
    return round(min(_MOST_SURE, _LEAST_SURE + _SURER_BY_FIELD * surely), 2)


def _flat(value: object) -> str:
    lines = (" ".join(line.split()) for line in clean(str(value or "")).splitlines())
    return "\n".join(line for line in lines if line)
