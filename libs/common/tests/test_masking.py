"""What is hidden in texts and payloads, and what stays readable."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masking_testkit import HIDDEN, READABLE

from contactship_common.masking import mask_data, mask_email, mask_phone, mask_pii


@pytest.mark.parametrize(("text", "masked", "_secret"), HIDDEN)
def test_what_is_personal_is_hidden_in_any_notation(text: str, masked: str, _secret: str) -> None:
    assert mask_pii(text) == masked


@pytest.mark.parametrize("text", READABLE)
def test_prices_dates_versions_and_ids_stay_readable(text: str) -> None:
    assert mask_pii(text) == text


@pytest.mark.parametrize("text", [text for text, _, _ in HIDDEN])
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask_pii(mask_pii(text)) == mask_pii(text)


_PIECES = st.sampled_from(
    [text for text, _, _ in HIDDEN] + READABLE + [" ", ", ", ".", "/", "-", ":", "\n", "tel", "*", "***", "7890", "1"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, min_size=1, max_size=6).map("".join))
def test_masking_any_mixture_twice_changes_nothing_more(text: str) -> None:
    once = mask_pii(text)
    assert mask_pii(once) == once


@pytest.mark.parametrize(("text", "_masked", "secret"), HIDDEN)
@pytest.mark.parametrize(
    "around", ["Hola, {}", "{} gracias", "({})", '"{}"', "{}\n", "¿{}?", "[{}]", "…{}…", "a: {}; b"]
)
def test_what_stands_around_it_does_not_matter(text: str, _masked: str, secret: str, around: str) -> None:
    assert secret not in mask_pii(around.format(text))


def test_a_value_known_to_be_personal_is_hidden_whatever_it_looks_like() -> None:
    assert mask_email("not an address") == "***"
    assert mask_phone("911") == "***"
    assert mask_phone("1234567") == "***4567"


PAYLOADS: list[tuple[Any, Any]] = [
    ({"from": 5491134567890}, {"from": "***7890"}),
    ({"from": 5491134567890.0}, {"from": "***7890"}),
    ({"from": "12345678"}, {"from": "***5678"}),
    ({"caller": {"phoneNumber": "4567890"}}, {"caller": {"phoneNumber": "***7890"}}),
    ({"otp": 4829}, {"otp": "***"}),
    ({"verificationCode": "0482"}, {"verificationCode": "***"}),
    ({"codigo": "12 34 56"}, {"codigo": "***"}),
    ({"dni": 12345678}, {"dni": "***"}),
    ({"cuit": "20123456786"}, {"cuit": "***"}),
    ({"to": ["+541134567890", {"n": "a@b.co"}]}, {"to": ["***7890", {"n": "a***@b.co"}]}),
    ({"+541134567890": 1, "+542234567890": 2}, {"***7890": 1, "***7890'": 2}),
    ("+541134567890", "***7890"),
    (
        {"errorCode": 30008, "statusCode": "200100", "zipCode": "90210", "duration_secs": 97, "price": 12345.67},
        {"errorCode": 30008, "statusCode": "200100", "zipCode": "90210", "duration_secs": 97, "price": 12345.67},
    ),
    (
        {"start_time_unix_secs": 1700000000, "timestamp": 1700000000000, "ok": True, "none": None, "seq": 7},
        {"start_time_unix_secs": 1700000000, "timestamp": 1700000000000, "ok": True, "none": None, "seq": 7},
    ),
    ({"from": "2024-03-15", "to": "2024-03-20T10:00:00Z"}, {"from": "2024-03-15", "to": "2024-03-20T10:00:00Z"}),
    ({"id": "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"}, {"id": "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"}),
]


@pytest.mark.parametrize(("payload", "masked"), PAYLOADS)
def test_the_name_of_a_field_says_what_its_value_is(payload: Any, masked: Any) -> None:
    assert mask_data(payload) == masked


_UNITS = [
    "1", "1 ", "a", "a.b-", "((", "@", "1.1,", "$1 111 ", "a@a.", "+1-", "tel ", "código ", "pin 12 ", "dni ",
    "dni 1.", "2024-01-01 ", "1234567890 ", "12.345.678 ", "4111 1111 ", "x1", "_1", "1:", "*1", "***7890 ", "%40",
    "order ", "precio 1", "1 es ", "a" * 70 + "@", "ref n n n ", "20-12345678-6", "GODE561231", "c.c.", "1\u200b",
]  # fmt: skip


@pytest.mark.timeout(30)
@pytest.mark.parametrize("unit", _UNITS)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        started = time.process_time()
        mask_pii(text)
        return time.process_time() - started

    short, long = min(seconds(20_000) for _ in range(2)), seconds(160_000)
    # Eight times the text: eight times the time, and not 64 times.
    assert long < 24 * short + 0.1
