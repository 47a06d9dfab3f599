"""The summary of a lead: what the model is told and what it may answer."""

import hashlib
import json
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contactship_ai_worker.prompts import Prompt
from contactship_ai_worker.providers.base import OutputModel

PROMPT_NAME = "lead_summary"
SUMMARY_MIN_CHARS, SUMMARY_MAX_CHARS = 50, 300
NEXT_ACTION_MIN_CHARS, NEXT_ACTION_MAX_CHARS = 20, 150

# Bidi controls reorder what people read around them; zero-width joiners stay allowed, names and emoji need them.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _printable(text: str) -> str:
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} or char in _BIDI for char in text):
        raise ValueError("must be one line of plain text without control characters")
    return text


PlainText = Annotated[str, AfterValidator(_printable)]


class LeadFacts(BaseModel):
    """What a summary is made from. Texts come from strangers; the engine cleans, cuts and masks them.

    `source` is in words ("carga manual"), `status` one of the lead's states, `lines` the latest conversation and
    meeting lines, oldest first.
    """

    model_config = ConfigDict(frozen=True)

    full_name: str
    status: str
    source: str
    age: int | None = None
    profession: str | None = None
    location: str | None = None
    country: str | None = None
    lines: list[str] = Field(default_factory=list)


class LeadSummaryOutput(OutputModel):
    """The answer; lengths are in characters after trimming."""

    summary: PlainText = Field(
        min_length=SUMMARY_MIN_CHARS,
        max_length=SUMMARY_MAX_CHARS,
        description="Who the lead is and where the relationship stands.",
    )
    next_action: PlainText = Field(
        min_length=NEXT_ACTION_MIN_CHARS,
        max_length=NEXT_ACTION_MAX_CHARS,
        description="The one thing to do next, starting with a verb.",
    )


def facts_hash(facts: LeadFacts, prompt: Prompt, model: str) -> str:
    """Names one question: equal for the same facts, prompt text, language and model (`AIEngine.preferred_model`), in
    every process and release. Hexadecimal SHA-256."""
    question = {"facts": facts.model_dump(mode="json"), "prompt": prompt.hash, "model": model}
    # ASCII escapes also keep lone surrogates from breaking the encoding.
    text = json.dumps(question, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
