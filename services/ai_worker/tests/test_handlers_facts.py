"""What a model is told about a lead."""

from datetime import date
from typing import Any

import pytest

from contactship_ai_worker.handlers.summarize_lead import facts_of
from contactship_ai_worker.lead_summary import LeadFacts
from contactship_common.models import Lead, Person
from contactship_common.models.base import new_id

TODAY = date(2026, 11, 21)


def _facts(lead: dict[str, Any] | None = None, today: date = TODAY, **person: Any) -> LeadFacts:
    someone = Person(**{"first_name": "Ana", "last_name": "Gómez", **person})
    return facts_of(Lead(person_id=new_id(), **(lead or {})), someone, today)


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        (None, TODAY, None),
        (date(1986, 11, 20), TODAY, 40),
        (date(1986, 11, 21), TODAY, 40),
        (date(1986, 11, 22), TODAY, 39),
        (TODAY, TODAY, 0),
        (date(2026, 11, 22), TODAY, None),
        (date(2000, 2, 29), date(2026, 2, 28), 25),
        (date(2000, 2, 29), date(2026, 3, 1), 26),
        (date(2000, 2, 29), date(2028, 2, 29), 28),
        (date(1, 1, 1), TODAY, 2025),
    ],
)
def test_the_age_is_that_of_the_last_birthday(born: date | None, today: date, age: int | None) -> None:
    assert _facts(today=today, date_of_birth=born).age == age


@pytest.mark.parametrize(
    ("metadata", "profession"),
    [
        (None, None),
        ({}, None),
        ({"profession": "Arquitecta"}, "Arquitecta"),
        ({"profession": "  Arquitecta "}, "Arquitecta"),
        ({"profession": " ", "occupation": "Médica"}, "Médica"),
        ({"jobTitle": "CTO"}, "CTO"),
        ({"job_title": "CTO"}, "CTO"),
        ({"position": "CTO", "profession": "Ingeniera"}, "Ingeniera"),
        ({"profession": 7, "position": "CTO"}, "CTO"),
        ({"profession": ["a"], "occupation": {"b": 1}, "position": None}, None),
    ],
)
def test_the_profession_is_the_first_text_that_names_one(
    metadata: dict[str, Any] | None, profession: str | None
) -> None:
    assert _facts({"meta": metadata}).profession == profession


@pytest.mark.parametrize(
    ("metadata", "address", "location"),
    [
        (None, None, None),
        ({"location": "Rosario, Argentina"}, {"city": "Lima", "country": "Peru"}, "Rosario, Argentina"),
        ({"location": " "}, {"city": "Lima", "country": "Peru"}, "Lima, Peru"),
        ({"location": {"lat": 1}}, {"city": "Lima"}, "Lima"),
        (None, {"country": "Peru"}, "Peru"),
        (None, {"street": "Av. Siempreviva 742", "postcode": "1234"}, None),
        (None, {"city": 5, "country": "Peru"}, "Peru"),
    ],
)
def test_the_location_is_the_metadata_s_else_city_and_country(
    metadata: dict[str, Any] | None, address: dict[str, Any] | None, location: str | None
) -> None:
    assert _facts({"meta": metadata}, address=address).location == location


@pytest.mark.parametrize(
    ("address", "nationality", "country"),
    [(None, None, None), ({"country": "Peru"}, "AR", "Peru"), ({"city": "Lima"}, "PE", "PE"), (None, "AR", "AR")],
)
def test_the_country_is_the_address_s_else_the_nationality(
    address: dict[str, Any] | None, nationality: str | None, country: str | None
) -> None:
    assert _facts(address=address, nationality=nationality).country == country


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("manual", "carga manual"),
        ("external_api", "fuente externa"),
        ("csv", "importación de un archivo"),
        ("webhook", "contacto por teléfono o mensaje"),
    ],
)
def test_the_source_is_told_in_words(source: str, words: str) -> None:
    assert _facts({"source": source}).source == words


def test_a_missing_last_name_leaves_no_blank() -> None:
    assert _facts(last_name="").full_name == "Ana"


def test_neither_e_mail_nor_phone_nor_street_is_told() -> None:
    person = {
        "phone": "+5491134567890",
        "address": {"street": "Av. Siempreviva 742"},
        "picture_url": "https://x.test/p",
    }
    told = _facts({"email": "ana@example.com", "external_id": "x-1"}, **person).model_dump_json()
    for secret in ("ana@example.com", "4567890", "Siempreviva", "x-1", "x.test"):
        assert secret not in told
