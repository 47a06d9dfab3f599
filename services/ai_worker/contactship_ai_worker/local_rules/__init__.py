"""What the `local` provider answers, one file or folder a prompt."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from contactship_ai_worker.local_rules import call_summary, conversation_analysis, lead_summary, meeting_classification
from contactship_ai_worker.providers.local import Rules
from contactship_common.settings.ai import Language


def _of_one_shape(rules: Callable[[Mapping[str, Any], Language], BaseModel]) -> Rules:
    """Rules whose answer always has the same fields."""
    return lambda facts, language, _output_model: rules(facts, language)


RULES: dict[str, Rules] = {
    "lead_summary": _of_one_shape(lead_summary.answer),
    "conversation_analysis": _of_one_shape(conversation_analysis.answer),
    "call_summary": _of_one_shape(call_summary.answer),
    "meeting_classification": meeting_classification.answer,
}
