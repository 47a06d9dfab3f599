"""What becomes of single records."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from contactship_sync_worker import pages
from contactship_sync_worker.records import BadRecord, check, check_all
from contactship_sync_worker.sources.base import ExternalLead

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GOOD = {"first_name": "Ana", "last_name": "García", "email": "ana@example.com"}


def test_a_whole_record_becomes_a_new_lead() -> None:
    told = {
        "first_name": " Zoë ", "last_name": "Núñez", "email": "  ZOE@Example.com ", "phone": 5493412000000,
        "street": "12 Calle", "city": "Rosario", "postcode": 2000, "date_of_birth": "1985-04-02T10:11:12.345Z",
        "gender": "female", "nationality": "AR", "picture_url": "https://example.com/a.jpg", "external_id": 7,
        "metadata": {"profession": "AR"},
    }  # fmt: skip
    lead = check(told, NOW)
    assert (lead.first_name, lead.email, lead.phone, lead.external_id) == (
        "Zoë",
        "zoe@example.com",
        "5493412000000",
        "7",
    )
    assert lead.address == {"street": "12 Calle", "city": "Rosario", "state": None, "postcode": "2000", "country": None}
    assert lead.date_of_birth == date(1985, 4, 2)
    assert (lead.source, lead.status, lead.synced_at) == ("external_api", "new", NOW)


def test_one_name_is_split_at_its_first_space() -> None:
    lead = check({"name": "María de la Cruz", "email": "m@example.com"}, NOW)
    assert (lead.first_name, lead.last_name) == ("María", "de la Cruz")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"email": None}, "missing"),
        ({"email": 7}, "wrong_type"),
        ({"email": "nobody at nowhere"}, "bad_email"),
        ({"email": "a@b"}, "bad_email"),
        ({"email": "a@localhost.test"}, "bad_email"),
        ({"email": "a..b@example.com"}, "bad_email"),
        ({"email": "x" * 250 + "@example.com"}, "too_long"),
        ({"first_name": "  "}, "missing"),
        ({"last_name": None}, "missing"),
        ({"last_name": {"a": 1}}, "wrong_type"),
        ({"last_name": "x" * 256}, "too_long"),
        ({"first_name": "Ana\u202e"}, "control_character"),
        ({"first_name": "Ana\nB"}, "control_character"),
        ({"phone": "1" * 51}, "too_long"),
        ({"gender": True}, "wrong_type"),
        ({"date_of_birth": "yesterday"}, "bad_date"),
        ({"date_of_birth": 19850402}, "bad_date"),
        ({"date_of_birth": "2985-04-02"}, "date_in_future"),
        ({"picture_url": "javascript:alert(1)"}, "bad_url"),
        ({"metadata": [1]}, "wrong_type"),
        ({"metadata": {"x": "y" * 16_400}}, "too_long"),
    ],
)
def test_a_bad_record_has_a_code_and_repeats_nothing(change: dict[str, Any], code: str) -> None:
    with pytest.raises(BadRecord) as caught:
        check(GOOD | change, NOW)
    assert caught.value.code == code
    told = next(iter(change.values()))
    assert not isinstance(told, str) or not told.strip() or told not in caught.value.message


@pytest.mark.parametrize(
    "email", ["ana+tag@sub.example.co", "o'neil@example.com", "josé@example.com", "a@bücher.example.com"]
)
def test_unusual_addresses_are_addresses(email: str) -> None:
    assert check(GOOD | {"email": email}, NOW).email


def test_a_record_that_cannot_be_stored_costs_only_itself() -> None:
    deep: Any = "bottom"
    for _ in range(400):
        deep = {"x": deep}
    leads = [
        ExternalLead(**GOOD),
        ExternalLead(**GOOD | {"last_name": "half a pair \ud800"}),
        ExternalLead(**GOOD | {"last_name": "NUL \x00"}),
        ExternalLead(**GOOD | {"metadata": deep}),
        ExternalLead(**GOOD | {"email": "other@example.com"}),
    ]
    [page] = pages.encoded(leads)
    checked = check_all(pages.decoded(page), NOW)
    assert checked.positions == [0, 4]
    assert [(at, code) for at, code, _ in checked.bad] == [(1, "unreadable"), (2, "unreadable"), (3, "unreadable")]


def test_a_long_answer_becomes_several_pages() -> None:
    assert [len(pages.decoded(page)) for page in pages.encoded([ExternalLead()] * 5_001)] == [5_000, 1]
    assert [pages.decoded(page) for page in pages.encoded([])] == [[]]
