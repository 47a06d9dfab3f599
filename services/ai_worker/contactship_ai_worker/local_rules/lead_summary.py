"""A lead's summary by rules: says only what the facts say, and always fits the limits."""

from collections.abc import Mapping
from typing import Any, Literal

from contactship_ai_worker.fence import clean
from contactship_ai_worker.lead_summary import SUMMARY_MAX_CHARS, LeadSummaryOutput
from contactship_common.settings.ai import Language

_NAME_CHARS = 70
_DETAIL_CHARS = 50
_ENGLISH_SPEAKING = frozenset(
    ["us", "usa", "united states", "gb", "uk", "united kingdom", "ca", "canada", "au", "australia", "nz",
     "new zealand", "ie", "ireland"]
)  # fmt: skip

_WORDS: dict[str, dict[str, str]] = {
    "es": {
        "nameless": "Lead sin nombre",
        "age": "{} años",
        "from": "de {}",
        "source": "Llegó por {}.",
        "no_lines": "Todavía no hay conversaciones ni reuniones registradas.",
        "one_line": "Hay una línea de conversación o reunión registrada.",
        "lines": "Hay {} líneas de conversación o reunión registradas.",
        "last": "Lo último: «{}».",
        "this": "este lead",
        "status_new": "Es un lead nuevo.",
        "status_contacted": "Ya fue contactado.",
        "status_qualified": "Está calificado.",
        "status_converted": "Ya es cliente.",
        "status_lost": "Figura como perdido.",
        "do_new": "Contactar a {} para presentarse y conocer su interés.",
        "do_contacted": "Hacer seguimiento con {} y confirmar su interés.",
        "do_qualified": "Preparar una propuesta para {} y acordar una reunión.",
        "do_converted": "Dar la bienvenida a {} y acordar los próximos pasos.",
        "do_lost": "Revisar por qué se perdió {} y evaluar un contacto futuro.",
        "do_other": "Revisar los datos de {} y definir el próximo paso.",
    },
    "en": {
        "nameless": "Lead without a name",
        "age": "{} years old",
        "from": "from {}",
        "source": "Came in through {}.",
        "no_lines": "There are no conversations or meetings on record yet.",
        "one_line": "There is one conversation or meeting line on record.",
        "lines": "There are {} conversation or meeting lines on record.",
        "last": "Latest: “{}”.",
        "this": "this lead",
        "status_new": "This is a new lead.",
        "status_contacted": "Already contacted.",
        "status_qualified": "Qualified.",
        "status_converted": "Already a customer.",
        "status_lost": "Marked as lost.",
        "do_new": "Contact {} to introduce yourself and learn what they need.",
        "do_contacted": "Follow up with {} and confirm their interest.",
        "do_qualified": "Prepare a proposal for {} and agree on a meeting.",
        "do_converted": "Welcome {} and agree on the next steps.",
        "do_lost": "Review why {} was lost and consider a later contact.",
        "do_other": "Review what is known about {} and decide the next step.",
    },
}


def answer(facts: Mapping[str, Any], language: Language) -> LeadSummaryOutput:
    """The summary and next action; the same for the same facts."""
    words = _WORDS[_language(facts, language)]
    name = _short(facts.get("full_name"), _NAME_CHARS)
    status = str(facts.get("status") or "")
    lines = [line for line in map(_one_line, facts.get("lines") or []) if line]
    who = ", ".join([name or words["nameless"], *_about(facts, words)]) + "."
    count = {0: words["no_lines"], 1: words["one_line"]}.get(len(lines), words["lines"].format(len(lines)))
    # Most telling last: what does not fit any more is left out, never cut in the middle.
    sentences = [who, words.get(f"status_{status}", ""), count]
    if source := _short(facts.get("source"), _DETAIL_CHARS):
        sentences.insert(2, words["source"].format(source))
    if lines:
        sentences.append(words["last"].format(_short(lines[-1], 90)))
    do = words.get(f"do_{status}", words["do_other"])
    return LeadSummaryOutput(summary=_fitting(sentences), next_action=do.format(name or words["this"]))


def _about(facts: Mapping[str, Any], words: Mapping[str, str]) -> list[str]:
    place = ", ".join(
        dict.fromkeys(p for key in ("location", "country") if (p := _short(facts.get(key), _DETAIL_CHARS)))
    )
    age = facts.get("age")
    known = [
        words["age"].format(age) if isinstance(age, int) and 0 < age < 130 else "",
        _short(facts.get("profession"), _DETAIL_CHARS),
        words["from"].format(_short(place, 60)) if place else "",
    ]
    return [part for part in known if part]


def _fitting(sentences: list[str]) -> str:
    text = ""
    for sentence in filter(None, sentences):
        longer = f"{text} {sentence}".strip()
        if len(longer) <= SUMMARY_MAX_CHARS:
            text = longer
    return text


def _language(facts: Mapping[str, Any], language: Language) -> Literal["es", "en"]:
    if language != "auto":
        return language
    return "en" if _one_line(facts.get("country")).lower() in _ENGLISH_SPEAKING else "es"


def _one_line(value: object) -> str:
    return " ".join(clean(str(value or "")).split())


def _short(value: object, chars: int) -> str:
    text = _one_line(value)
    return text if len(text) <= chars else text[: chars - 1].rstrip() + "…"
