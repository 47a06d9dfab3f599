"""Asking for a code: who gets one, how often, and that a repeated request sends nothing twice."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from api_testkit import MakeApi, assert_problem, make_lead
from otp_testkit import PHONE, Codes

KEY = {"idempotency-key": "login-17"}


async def test_a_code_is_on_its_way_and_its_answer_does_not_say_it(codes: Codes) -> None:
    before = datetime.now(UTC)
    answer = await codes.ask(correlationId="login-1", templateData={"name": "Ana"})
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"correlationId", "interactionId", "expiresAt", "message"}
    assert body["correlationId"] == "login-1"
    life = (datetime.fromisoformat(body["expiresAt"]) - before).total_seconds()
    assert 299 < life < 310
    assert await codes.code("login-1") not in answer.text
    interaction = await codes.interaction("login-1")
    assert str(interaction["id"]) == body["interactionId"]
    assert (interaction["channel"], interaction["direction"], interaction["status"]) == (
        "SMS",
        "OUTBOUND",
        "IN_PROGRESS",
    )
    assert interaction["customer_phone"] == PHONE
    assert await codes.sendings() == 1
    [audited] = await codes.sql("SELECT data FROM audit_logs WHERE action = 'otp.create'")
    assert audited["data"] == {"purpose": "LOGIN_2FA"}


async def test_without_a_correlation_id_each_request_is_a_code_of_its_own(codes: Codes) -> None:
    first, second = await codes.new(), await codes.new(correlationId="  ")
    assert first != second
    assert await codes.sendings() == 2


async def test_the_interaction_belongs_to_the_lead_with_the_number(codes: Codes) -> None:
    lead = await make_lead(codes.api, phone=PHONE)
    assert str((await codes.interaction(await codes.new()))["lead_id"]) == lead["id"]


async def test_the_same_correlation_id_again_is_the_same_code_and_no_second_sms(codes: Codes) -> None:
    first = await codes.ask(correlationId="login-1")
    again = await codes.ask("+54 9 11 5555-1234", correlationId="login-1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert await codes.sendings() == 1
    assert await codes.limits() == (1, 0)


async def test_a_repeated_request_says_when_the_code_is_not_good_any_more(codes: Codes) -> None:
    first = await codes.ask(correlationId="login-1")
    await codes.life_passes("login-1")
    again = await codes.ask(correlationId="login-1")
    assert again.status_code == 200
    assert again.json()["message"] != first.json()["message"]
    assert await codes.sendings() == 1


@pytest.mark.parametrize("change", [{"phone": "+5491155559999"}, {"purpose": "PASSWORD_RESET"}], ids=str)
async def test_a_correlation_id_stands_for_one_phone_and_purpose(codes: Codes, change: dict[str, str]) -> None:
    await codes.new(correlationId="login-1")
    answer = await codes.ask(**({"correlationId": "login-1"} | change))
    assert_problem(answer, 409, "otp_correlation_conflict")
    assert await codes.sendings() == 1


async def test_a_correlation_id_belongs_to_its_caller(codes: Codes) -> None:
    await codes.new(correlationId="login-1")
    somebody = await codes.api.client_for("ADMIN")
    assert_problem(await codes.ask(correlationId="login-1", client=somebody), 409, "otp_correlation_conflict")
    assert await codes.limits() == (1, 0)


async def test_the_same_request_many_times_at_once_sends_one_sms(codes: Codes) -> None:
    answers = await asyncio.gather(*(codes.ask(correlationId="login-1") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert await codes.sendings() == 1
    assert await codes.limits() == (1, 0)


async def test_repeats_of_the_last_allowed_code_are_not_refused(codes: Codes) -> None:
    for _ in range(2):
        await codes.new()
    answers = await asyncio.gather(*(codes.ask(correlationId="the-third") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert await codes.limits() == (3, 0)


async def test_one_correlation_id_for_two_phones_at_once_is_one_code_and_one_conflict(codes: Codes) -> None:
    for number in range(5):
        asked = (codes.ask(phone, correlationId=f"login-{number}") for phone in (PHONE[:-1] + "1", PHONE[:-1] + "2"))
        await codes.sql("DELETE FROM otp_limits")
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_of_many_requests_at_once_exactly_as_many_as_allowed_get_a_code(codes: Codes) -> None:
    answers = await asyncio.gather(*(codes.ask() for _ in range(20)))
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(refused) == 17
    for answer in refused:
        assert_problem(answer, 429, "otp_rate_limited")
        assert 890 <= int(answer.headers["retry-after"]) <= 900
    assert await codes.sendings() == 3
    assert await codes.limits() == (3, 0)
    [live] = await codes.sql("SELECT count(*) AS n FROM otp_challenges WHERE status IN ('PENDING', 'SENT')")
    assert live["n"] == 1


async def test_the_limit_is_one_of_each_number_and_purpose_within_a_window(codes: Codes) -> None:
    for _ in range(3):
        await codes.new()
    assert_problem(await codes.ask(), 429, "otp_rate_limited")
    await codes.new(purpose="PASSWORD_RESET")
    await codes.new("+5491155559999")
    await codes.window_passes()
    await codes.new()
    assert await codes.limits() == (1, 0)


async def test_a_refused_request_costs_nothing(codes: Codes) -> None:
    for body in ({"phone": "+54 11"}, {"purpose": "FUN"}, {"correlationId": "x" * 256}):
        assert (await codes.ask(**body)).status_code == 422
    assert await codes.limits() == (0, 0)


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        ("hello", "otp_phone_invalid"),
        ("5555", "otp_phone_invalid"),
        ("1155551234", "otp_phone_invalid"),  # of which country?
        ("+5411", "otp_phone_invalid"),
        ("+999123456789", "otp_phone_invalid"),
        ("+541155551234", "otp_phone_not_mobile"),
        ("+442079460123", "otp_phone_not_mobile"),
        ("+447012345678", "otp_phone_not_mobile"),  # a personal number, billed to whoever calls it
        ("+18005551234", "otp_phone_not_mobile"),
        ("+881612345678", "otp_country_not_allowed"),  # a satellite phone
    ],
)
async def test_only_real_mobile_numbers_get_codes(codes: Codes, phone: str, code: str) -> None:
    assert_problem(await codes.ask(phone), 422, code)
    assert await codes.sendings() == 0


@pytest.mark.parametrize(("phone", "allowed"), [(PHONE, True), ("+34612345678", True), ("+12125550123", False)])
async def test_only_allowed_countries_get_codes(make_codes: Any, phone: str, allowed: bool) -> None:
    codes = await make_codes(otp_countries="ar, ES")
    answer = await codes.ask(phone)
    if allowed:
        assert answer.status_code == 201
    else:
        assert_problem(answer, 422, "otp_country_not_allowed")


async def test_numbers_without_a_country_are_of_the_default_region(make_codes: Any) -> None:
    codes = await make_codes(default_region="AR")
    await codes.new("011 15 5555-1234", correlationId="login-1")
    assert (await codes.challenge("login-1"))["phone_e164"] == PHONE


@pytest.mark.parametrize("path", ["/otp", "/otp/verify"])
async def test_without_a_secret_there_are_no_codes_outside_development(make_api: MakeApi, path: str) -> None:
    api = await make_api()
    body = {"phone": PHONE, "purpose": "LOGIN_2FA"} if path == "/otp" else {"correlationId": "x", "otp": "123456"}
    assert_problem(await api.post(f"/api/v1{path}", json=body), 503, "otp_not_configured")


async def test_an_idempotency_key_gives_the_same_answer_and_no_second_sms(codes: Codes) -> None:
    first, again = await codes.ask(headers=KEY), await codes.ask(headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert await codes.sendings() == 1


async def test_an_older_path_and_snake_case_work(codes: Codes) -> None:
    body = {"phone": PHONE, "purpose": "TX_CONFIRMATION", "correlation_id": "tx-1", "template_data": {"amount": 12}}
    assert (await codes.api.post("/api/otp", json=body)).status_code == 201
    answer = await codes.api.post("/api/otp/verify", json={"correlation_id": "tx-1", "otp": await codes.code("tx-1")})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "template",
    [{"n": 10**30}, {"n": -(2**63) - 1}, {"text": "x" * 5_000}, [1], "text", {"a\x00": 1}, {"a": {"b": [1]}}],
)
async def test_any_template_data_is_taken_or_refused(codes: Codes, template: Any) -> None:
    assert (await codes.ask(templateData=template)).status_code in (201, 422)
