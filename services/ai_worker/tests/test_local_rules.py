"""The rules that answer where no model is configured."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vendors.ai_bench import Benches

from contactship_ai_worker.fence import Limits, prepare
from contactship_ai_worker.lead_summary import LeadFacts, LeadSummaryOutput
from contactship_ai_worker.local_rules.lead_summary import answer
from contactship_common.settings.ai import Language

AWKWARD = [
    "", " ", "\u200b", "\u202eevil", "👩‍👩‍👧‍👦" * 60, "محمد عبد الله" * 20, "x" * 255, "{} {0} %s",
    "\x00\x1b[31m", "José\n\nPérez", "\ud800",
]  # fmt: skip
texts = st.one_of(st.text(max_size=300), st.sampled_from(AWKWARD))
facts = st.builds(
    LeadFacts,
    full_name=texts,
    status=st.one_of(st.sampled_from(["new", "contacted", "qualified", "converted", "lost"]), texts),
    source=texts,
    age=st.one_of(st.none(), st.integers(-5, 500)),
    profession=st.one_of(st.none(), texts),
    location=st.one_of(st.none(), texts),
    country=st.one_of(st.none(), texts),
    lines=st.lists(texts, max_size=8),
)


@settings(max_examples=300, deadline=None)
@given(facts=facts, language=st.sampled_from(["es", "en", "auto"]), cleaned=st.booleans())
def test_the_answer_fits_the_limits_whatever_the_facts(facts: LeadFacts, language: Language, cleaned: bool) -> None:
    seen = prepare(facts, send_pii=False, limits=Limits()) if cleaned else dict(facts)
    given_answer = answer(seen, language)
    assert LeadSummaryOutput.model_validate_json(given_answer.model_dump_json()) == given_answer
    assert answer(seen, language) == given_answer


def test_it_says_what_the_facts_say() -> None:
    facts = LeadFacts(
        full_name="Ana Gómez", status="qualified", source="formulario web", age=41, profession="Arquitecta",
        location="Rosario", country="Argentina", lines=["Quiere una demo el martes"],
    )  # fmt: skip
    said = answer(dict(facts), "es")
    assert said.summary == (
        "Ana Gómez, 41 años, Arquitecta, de Rosario, Argentina. Está calificado. Llegó por formulario web. "
        "Hay una línea de conversación o reunión registrada. Lo último: «Quiere una demo el martes»."
    )
    assert said.next_action == "Preparar una propuesta para Ana Gómez y acordar una reunión."


def test_minimal_facts_are_enough() -> None:
    said = answer(dict(LeadFacts(full_name="", status="", source="")), "en")
    assert said.summary.startswith("Lead without a name.")
    assert said.next_action == "Review what is known about this lead and decide the next step."


@pytest.mark.parametrize(
    ("country", "word"), [("United Kingdom", "Contact"), ("México", "Contactar"), (None, "Contactar")]
)
def test_auto_follows_the_country(country: str | None, word: str) -> None:
    facts = LeadFacts(full_name="Sam", status="new", source="web", country=country)
    assert answer(dict(facts), "auto").next_action.split()[0] == word


async def test_phones_in_the_facts_are_masked_for_the_rules_too(bench: Benches) -> None:
    made = bench("local")
    facts = LeadFacts(full_name="Ana", status="new", source="web", lines=["Mi cel es 11 3456-7890"])
    said = (await made.summarize(facts)).value
    assert "3456" not in json.dumps(said.model_dump())
    assert made.outcomes == ["local:success"]
