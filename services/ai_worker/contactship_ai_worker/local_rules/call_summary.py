"""The summary of a call by rules: what the caller said first and last, nothing that is not in the transcript."""

from collections.abc import Mapping
from typing import Any

from contactship_ai_worker.call_summary import CallSummaryOutput
from contactship_ai_worker.fence import clean
from contactship_common.settings.ai import Language

_QUOTE_CHARS = 200
_WORDS: dict[str, dict[str, str]] = {
    "es": {
        "inbound": "Llamada entrante",
        "outbound": "Llamada saliente",
        "minutes": " de {} min",
        "turns": ", {} intervenciones.",
        "first": "La persona dijo: «{}».",
        "last": "Al final dijo: «{}».",
        "silent": "La persona no dijo nada.",
    },
    "en": {
        "inbound": "Inbound call",
        "outbound": "Outbound call",
        "minutes": " of {} min",
        "turns": ", {} turns.",
        "first": "The caller said: “{}”.",
        "last": "At the end: “{}”.",
        "silent": "The caller said nothing.",
    },
}


def answer(facts: Mapping[str, Any], language: Language) -> CallSummaryOutput:
    """The same for the same transcript."""
    words = _WORDS["en" if language == "en" else "es"]
    turns = [line for line in clean(str(facts.get("transcript") or "")).split("\n") if line.strip()]
    said = [line.removeprefix("user:").strip() for line in turns if line.startswith("user:")]
    if not said and not any(line.startswith("agent:") for line in turns):
        said = turns
    minutes = facts.get("minutes")
    head = words["outbound" if facts.get("direction") == "outbound" else "inbound"]
    head += words["minutes"].format(minutes) if isinstance(minutes, int) and minutes > 0 else ""
    sentences = [head + words["turns"].format(len(turns))]
    sentences.append(words["first"].format(_quote(said[0])) if said else words["silent"])
    if len(said) > 1:
        sentences.append(words["last"].format(_quote(said[-1])))
    return CallSummaryOutput(summary=" ".join(sentences))


def _quote(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _QUOTE_CHARS else text[: _QUOTE_CHARS - 1].rstrip() + "…"
