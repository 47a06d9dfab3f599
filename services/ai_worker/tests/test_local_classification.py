"""A meeting classified by rules: says only what the transcript gives ground for, and always fits the answer's shape."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.fence import prepare
from contactship_ai_worker.local_rules.meeting_classification import answer
from contactship_ai_worker.local_rules.meeting_classification.vocabulary import known_clues, places
from contactship_ai_worker.local_rules.meeting_classification.words import plain
from contactship_ai_worker.meeting_classification import (
    LIMITS,
    TRANSCRIPT_CHARS,
    facts_of,
    output_model,
    prompt_of,
)
from contactship_common.classification.categories import FIXED, Category, load_categories
from contactship_common.settings import AISettings
from contactship_common.settings.ai import Language

CATEGORIES = load_categories()
MODEL = output_model(CATEGORIES)
OWN = (
    Category("mood", "How they felt.", {"sunny_weather": "bright, warm days", "rain": "umbrellas, puddles"}, None),
    Category("companySize", "Our own sizes.", {"tiny": "un puñado de personas", "small": ""}, None),
)

AWKWARD = [
    "", " ", "\u200b", "\u202eevil", "👩‍👩‍👧‍👦" * 60, "محمد عبد الله" * 20, "x" * 255, "{} {0} %s", "\x00\x1b[31m", "¡¿!?…",
    "José\n\nPérez", "\ud800", "«»" * 40, "\"'“”", ". . . .", "—", "1.1.1.1 personas", "9" * 400 + " empleados", "mil mil mil personas",
]  # fmt: skip
SPOKEN = [
    "Firmó el contrato.", "No hay apuro.", "Quedé en llamar el martes.", "Sr. Paz, S.A. Somos 12.", "I will send it tomorrow!", "Ads", "no no",
]  # fmt: skip
transcripts = st.one_of(
    st.text(max_size=300),
    st.sampled_from(AWKWARD),
    st.lists(st.sampled_from(AWKWARD + SPOKEN), max_size=12).map(" ".join),
)


def classify(
    transcript: str, language: Language = "es", categories: tuple[Category, ...] = CATEGORIES
) -> dict[str, Any]:
    model = output_model(categories)
    facts = prepare(facts_of(transcript, None), send_pii=False, limits=LIMITS)
    return answer(facts, language, model).model_dump()


@settings(max_examples=300, deadline=None)
@given(transcript=transcripts, language=st.sampled_from(["es", "en", "auto"]), own=st.booleans(), cleaned=st.booleans())
def test_the_answer_fits_its_shape_whatever_was_said(
    transcript: str, language: Language, own: bool, cleaned: bool
) -> None:
    model = output_model(OWN) if own else MODEL
    facts = (
        prepare(facts_of(transcript, None), send_pii=False, limits=LIMITS) if cleaned else {"transcript": transcript}
    )
    said = answer(facts, language, model)
    assert model.model_validate_json(said.model_dump_json()) == said
    assert answer(facts, language, model) == said


@pytest.mark.parametrize(
    "piece", ["no ", "a las ", '."', "mil ", "🎉", "x", "uno y ", "Texto. ", "«", "quiere saber ~ "]
)
def test_a_huge_monotonous_transcript_is_answered_in_bounded_time(piece: str) -> None:
    # 200,000 characters; the time is generous for a busy machine, quadratic work would take minutes.
    text = (piece * (200_000 // len(piece) + 1))[:200_000]
    started = time.process_time()
    MODEL.model_validate_json(answer({"transcript": text}, "es", MODEL).model_dump_json())
    assert time.process_time() - started < 5


def test_nothing_is_claimed_of_a_transcript_that_says_nothing() -> None:
    said = classify("Hola, ¿qué tal? Se cortó la llamada.")
    assert {name: said[name] for name in (c.name for c in CATEGORIES)} == dict.fromkeys(c.name for c in CATEGORIES)
    assert (said["sentiment"], said["urgency"], said["lostClientBadMeeting"]) == ("neutral", False, False)
    assert said["confidenceScore"] == 0.1
    assert said["nextSteps"] == "La transcripción no dice cuál es el próximo paso."


MEETING = (
    "Primera llamada con Marta, directora de marketing de una cadena de gimnasios en Quito, 180 empleados. Nos la recomendó "
    "una amiga. Gastan mucho en anuncios y no saben qué campaña trae las ventas. Le mostré Ads y quedó encantada. "
    "Quedé en mandarle la propuesta el viernes."
)


def test_what_is_said_is_found() -> None:
    said = classify(MEETING)
    assert said["companySize"] == "medium"
    assert said["region"] == "latam_north"
    assert said["leadSource"] == "referral"
    assert said["vambeProduct"] == "ads"
    assert said["useCase"] == "marketing_attribution"
    assert said["decisionMakerRole"] == "cmo"
    assert (said["sentiment"], said["language"]) == ("positive", "es")
    assert 0.1 < said["confidenceScore"] <= 0.5
    assert said["nextSteps"] == "«Quedé en mandarle la propuesta el viernes»"


def test_texts_follow_the_language_asked_for() -> None:
    assert classify(MEETING, "en")["summary"].startswith("Sales meeting")
    assert classify(MEETING, "auto")["summary"].startswith("Reunión de ventas")
    assert classify("We met the owner of a bakery. She said that they want it for the shop.", "auto")["summary"].startswith("Sales meeting")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("Son doce empleados.", "small"),
        ("Somos dieciséis.", "small"),
        ("Unas ciento veinte personas trabajan ahí.", "medium"),
        ("Tienen 1.900 colaboradores.", "large"),
        ("Tienen 1,900 employees.", "large"),
        ("Tienen dos mil empleados.", "enterprise"),
        ("Cuatro mil quinientos trabajadores.", "enterprise"),
        ("Es una multinacional.", "enterprise"),
        ("There are three hundred and ten people.", "large"),
        ("Atienden 9.000 mensajes al mes en 12 tiendas.", None),
        ("Somos una empresa hace 12 años.", None),
        ("Vende 3 millones de pesos.", None),
    ],
)
def test_the_size_is_counted_in_people(text: str, size: str | None) -> None:
    assert classify(text)["companySize"] == size


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("Trabajan desde Quito.", "latam_north"),
        ("Una empresa de Nairobi.", "africa"),
        ("Es una firma neozelandesa.", "oceania"),
        ("Hablé con Santiago y con Victoria.", None),
        ("Operan en Santiago.", "latam_south"),
        ("Lo vio nuestro equipo chileno.", None),
    ],
)
def test_a_region_needs_a_place_and_not_a_name(text: str, region: str | None) -> None:
    assert classify(text)["region"] == region


@pytest.mark.parametrize(
    "said", ["No hay apuro.", "Sin prisa, para el año que viene.", "There is no deadline, no rush."]
)
def test_saying_that_there_is_no_hurry_is_not_urgent(said: str) -> None:
    assert classify(said)["urgency"] is False
    assert classify("Es urgente, lo necesita cuanto antes.")["urgency"] is True


def test_a_companys_own_values_are_found_by_their_name_or_their_hint() -> None:
    assert classify("Llegamos con sunny weather y nos fuimos.", categories=OWN)["mood"] == "sunny_weather"
    assert classify("There were puddles and umbrellas everywhere.", categories=OWN)["mood"] == "rain"
    assert classify("Nada de eso.", categories=OWN)["mood"] is None
    assert classify("Somos doce personas.", categories=OWN)["companySize"] == "small"


async def test_the_engine_answers_by_rules_where_no_model_is_configured() -> None:
    engine = AIEngine(AISettings(ai_providers=("local",)), keep=lambda _row: None)
    given_answer = await engine.ask(prompt_of(CATEGORIES, "es"), facts_of(MEETING, None), MODEL, limits=LIMITS)
    assert (given_answer.provider, given_answer.model) == ("local", "local-rules")
    assert given_answer.value.sentiment == "positive"
    await engine.aclose()


def test_the_vocabulary_is_of_todays_categories_and_written_as_it_is_compared() -> None:
    fields = {category.name: set(category.values) for category in CATEGORIES}
    for name in [*fields, *FIXED]:
        for phrase, clues in known_clues(name).items():
            assert phrase == plain(phrase), phrase
            if name in fields:
                assert {clue.value for clue in clues} <= fields[name], phrase
    assert set(places()) == fields["region"]


def test_a_transcript_at_the_limit_keeps_its_beginning_and_end() -> None:
    long = MEETING + " Nada." * TRANSCRIPT_CHARS + " Firmó el contrato y pagó con tarjeta."
    said = classify(long)
    assert (said["region"], said["purchaseStage"]) == ("latam_north", "closure")
