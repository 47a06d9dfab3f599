"""Checking a code: once, in time, and with few guesses."""

import asyncio
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID

import pytest
from api_testkit import Api, assert_problem
from otp_testkit import PHONE, SECRET, Codes

from contactship_common.contact_center import delivery_reports
from contactship_common.contact_center.delivery_reports import Report
from contactship_common.contact_center.otp_codes import code_of
from contactship_common.models import Provider
from contactship_common.uow import unit_of_work

OTHER = "+5491155559999"


async def test_the_right_code_is_good_once(codes: Codes) -> None:
    login = await codes.new()
    code = await codes.code(login)
    answer = await codes.verify(login, code)
    assert answer.status_code == 200
    body = answer.json()
    assert body == {"success": True, "correlationId": login, "verifiedAt": body["verifiedAt"]}
    assert body["verifiedAt"].endswith("Z")
    interaction = await codes.interaction(login)
    assert (interaction["status"], interaction["outcome"]) == ("COMPLETED", "RESOLVED")
    assert interaction["ended_at"] is not None
    assert_problem(await codes.verify(login, code), 400, "otp_used", not_shown=code)
    assert await codes.status(login) == "VERIFIED"
    assert await codes.limits() == (1, 0)


async def test_of_the_right_code_many_times_at_once_one_is_good(codes: Codes) -> None:
    login = await codes.new()
    code = await codes.code(login)
    answers = await asyncio.gather(*(codes.verify(login, code) for _ in range(20)))
    told = sorted(str(answer.json().get("code", "verified")) for answer in answers)
    assert told == ["otp_used"] * 19 + ["verified"]
    assert await codes.limits() == (1, 0)


async def test_a_wrong_code_is_refused_counted_and_audited(codes: Codes) -> None:
    login = await codes.new()
    wrong = await codes.wrong(login)
    assert_problem(await codes.verify(login, wrong), 400, "otp_invalid", not_shown=wrong)
    assert await codes.limits() == (1, 1)
    [audited] = await codes.sql("SELECT entity_id, data FROM audit_logs WHERE action = 'otp.refused'")
    assert audited["data"] == {"code": "otp_invalid", "locked": False}
    assert audited["entity_id"] == str((await codes.challenge(login))["id"])
    assert (await codes.verify(login, await codes.code(login))).status_code == 200
    assert await codes.limits() == (1, 1)


async def test_the_fifth_wrong_code_locks_and_the_right_one_comes_too_late(codes: Codes) -> None:
    login = await codes.new()
    assert await codes.guess_wrong(login, 4) == "otp_invalid"
    assert await codes.status(login) == "PENDING"
    assert await codes.guess_wrong(login) == "otp_invalid"
    assert await codes.status(login) == "LOCKED"
    assert_problem(await codes.verify(login, await codes.code(login)), 400, "otp_locked")
    assert await codes.limits() == (1, 5)
    assert await codes.refusals() == ["otp_invalid"] * 5 + ["otp_locked"]
    assert (await codes.interaction(login))["status"] == "FAILED"


async def test_a_new_code_buys_no_new_guesses(codes: Codes) -> None:
    await codes.guess_wrong(await codes.new(), 3)
    login = await codes.new()
    assert await codes.guess_wrong(login, 2) == "otp_invalid"
    assert await codes.status(login) == "LOCKED"
    refused = assert_problem(await codes.ask(), 429, "otp_rate_limited")
    assert "detail" in refused
    assert await codes.limits() == (2, 5)


async def test_guesses_of_another_purpose_or_number_are_counted_apart(codes: Codes) -> None:
    await codes.guess_wrong(await codes.new(), 5)
    for login in (await codes.new(purpose="PASSWORD_RESET"), await codes.new(OTHER)):
        assert (await codes.verify(login, await codes.code(login))).status_code == 200


async def test_after_the_window_a_new_code_has_all_its_guesses(codes: Codes) -> None:
    old = await codes.new()
    await codes.guess_wrong(old, 5)
    await codes.window_passes()
    assert await codes.guess_wrong(old) == "otp_locked"
    login = await codes.new()
    assert await codes.limits() == (1, 0)
    await codes.guess_wrong(login, 4)
    assert (await codes.verify(login, await codes.code(login))).status_code == 200
    assert await codes.guess_wrong(old) == "otp_locked"


async def test_a_code_that_outlives_the_window_is_not_guessed_at_twice_as_often(codes: Codes) -> None:
    login = await codes.new()
    await codes.guess_wrong(login, 4)
    await codes.window_passes()
    assert await codes.guess_wrong(login, 2) == "otp_locked"
    assert await codes.status(login) == "LOCKED"


async def test_an_expired_code_is_refused(codes: Codes) -> None:
    login = await codes.new()
    await codes.life_passes(login)
    assert_problem(await codes.verify(login, await codes.code(login)), 400, "otp_expired")
    assert await codes.status(login) == "EXPIRED"
    assert (await codes.interaction(login))["status"] == "ABANDONED"


async def test_a_new_code_replaces_the_one_before(codes: Codes) -> None:
    old = await codes.new()
    new = await codes.new()
    other = await codes.new(purpose="PASSWORD_RESET")
    assert_problem(await codes.verify(old, await codes.code(old)), 400, "otp_expired")
    assert (await codes.interaction(old))["status"] == "ABANDONED"
    for login in (new, other):
        assert (await codes.verify(login, await codes.code(login))).status_code == 200


async def test_an_unknown_id_is_told_and_audited(codes: Codes) -> None:
    assert_problem(await codes.verify("nobody-knows-this", "123456"), 400, "otp_not_found", not_shown="nobody")
    [audited] = await codes.sql("SELECT entity_id, data FROM audit_logs WHERE action = 'otp.refused'")
    assert audited == {"entity_id": None, "data": {"code": "otp_not_found"}}


async def test_guesses_at_what_cannot_be_judged_are_not_counted(codes: Codes) -> None:
    used, expired = await codes.new(), await codes.new(OTHER)
    await codes.verify(used, await codes.code(used))
    await codes.life_passes(expired)
    for _ in range(7):
        assert await codes.guess_wrong(used) == "otp_used"
        assert await codes.guess_wrong(expired) == "otp_expired"
        assert (await codes.verify("nobody-knows-this", "123456")).json()["code"] == "otp_not_found"
    assert await codes.limits() == (1, 0)
    assert await codes.limits(OTHER) == (1, 0)
    login = await codes.new()
    assert (await codes.verify(login, await codes.code(login))).status_code == 200


async def test_a_locked_number_still_says_what_was_used_and_what_was_replaced(codes: Codes) -> None:
    used = await codes.new()
    await codes.verify(used, await codes.code(used))
    replaced, locked = await codes.new(), await codes.new()
    await codes.guess_wrong(locked, 5)
    told = [await codes.guess_wrong(login) for login in (used, replaced, locked)]
    assert told == ["otp_used", "otp_expired", "otp_locked"]


async def test_leading_zeros_count(codes: Codes) -> None:
    login = await codes.new()
    nonce = next(n for n in (i.to_bytes(16) for i in range(100_000)) if code_of(SECRET, n).startswith("00"))
    await codes.sql("UPDATE otp_challenges SET nonce = %s", nonce)
    code = await codes.code(login)
    assert len(code) == 6
    assert (await codes.verify(login, code.lstrip("0"))).json()["code"] == "otp_invalid"
    assert (await codes.verify(login, code)).status_code == 200


@pytest.mark.parametrize("otp", [123456, 12.5, None, True, ["123456"], "", "   ", "1" * 21, "123\n456"])
async def test_a_code_is_a_text(codes: Codes, otp: Any) -> None:
    login = await codes.new()
    assert_problem(await codes.verify(login, otp), 422, "validation_failed")
    assert await codes.limits() == (1, 0)


async def test_digits_of_other_scripts_are_other_digits(codes: Codes) -> None:
    login = await codes.new()
    arabic = (await codes.code(login)).translate({ord("0") + n: chr(0x660 + n) for n in range(10)})
    assert (await codes.verify(login, arabic)).json()["code"] == "otp_invalid"
    assert (await codes.verify(login, f" {await codes.code(login)} ")).status_code == 200


async def test_checks_are_limited_per_address(make_codes: Any) -> None:
    codes: Codes = await make_codes(api={"otp_verify_limit_per_address": 3})
    for _ in range(3):
        assert (await codes.verify("nobody-knows-this", "123456")).status_code == 400
    assert_problem(await codes.verify("nobody-knows-this", "123456"), 429, "rate_limited")
    elsewhere = codes.api.client(dict(codes.api.root.headers), address="192.0.2.7")
    assert (await codes.verify("nobody-knows-this", "123456", client=elsewhere)).status_code == 400


async def test_a_check_whose_answer_was_lost_can_be_asked_again_with_its_key(codes: Codes) -> None:
    login = await codes.new()
    key = {"idempotency-key": "check-17"}
    first = await codes.verify(login, await codes.code(login), headers=key)
    again = await codes.verify(login, await codes.code(login), headers=key)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    other = await codes.new(OTHER)
    wrong = await codes.wrong(other)
    for _ in range(3):
        refused = await codes.verify(other, wrong, headers={"idempotency-key": "check-18"})
        assert (refused.status_code, refused.json()["code"]) == (400, "otp_invalid")
    assert await codes.limits(OTHER) == (1, 1)


async def report(api: Api, correlation: dict[str, Any], sql: Any, word: str) -> None:
    """What Twilio's callback about this code's SMS does."""
    [delivery] = await sql("SELECT id FROM deliveries WHERE otp_challenge_id = %s", correlation["id"])
    async with unit_of_work(api.gateway.runtime) as uow:
        assert await delivery_reports.apply(uow, UUID(str(delivery["id"])), Report(word, Provider.TWILIO, "SM1"))


@pytest.mark.parametrize("word", ["sent", "delivered", "undelivered", "failed"])
@pytest.mark.parametrize("end", ["VERIFIED", "LOCKED", "EXPIRED"])
async def test_a_late_report_changes_nothing_about_a_code_that_has_ended(codes: Codes, end: str, word: str) -> None:
    login = await codes.new()
    if end == "VERIFIED":
        await codes.verify(login, await codes.code(login))
    if end == "LOCKED":
        await codes.guess_wrong(login, 5)
    if end == "EXPIRED":
        await codes.new()
    before = await codes.interaction(login)
    await report(codes.api, await codes.challenge(login), codes.sql, word)
    assert await codes.status(login) == end
    assert await codes.interaction(login) == before


async def test_a_code_that_could_not_be_sent_is_not_good(codes: Codes) -> None:
    login = await codes.new()
    await report(codes.api, await codes.challenge(login), codes.sql, "sent")
    assert await codes.status(login) == "SENT"
    await report(codes.api, await codes.challenge(login), codes.sql, "undelivered")
    assert await codes.status(login) == "FAILED"
    assert (await codes.interaction(login))["status"] == "FAILED"
    assert_problem(await codes.verify(login, await codes.code(login)), 400, "otp_expired")


async def test_subscribers_hear_of_a_verified_code_and_not_the_code(codes: Codes) -> None:
    await codes.sql(
        "INSERT INTO webhook_endpoints (id, url, events, secret, active) VALUES (gen_random_uuid(), "
        "'https://a.example/hook', '[\"otp.verified\", \"interaction.completed\"]', 'whsec_eHh4eHh4eHh4eHh4eHh4eHh4eHh4',"
        " true)"
    )
    login = await codes.new()
    code = await codes.code(login)
    await codes.verify(login, code)
    told = {row["event_type"]: row["payload"] for row in await codes.sql("SELECT * FROM outbound_deliveries")}
    assert set(told) == {"otp.verified", "interaction.completed"}
    assert login in told["otp.verified"]
    assert code not in told["otp.verified"]
    assert PHONE not in "".join(told.values())


@pytest.mark.chaos
async def test_an_unknown_id_takes_as_long_as_a_wrong_code(codes: Codes) -> None:
    login = await codes.new()
    wrong = await codes.wrong(login)
    took: dict[str, list[float]] = {login: [], "nobody-knows-this": []}
    for _ in range(200):
        await codes.sql("UPDATE otp_limits SET wrong = 0")
        for asked, times in took.items():  # in turns, so that other work on this machine hits both
            began = perf_counter()
            assert (await codes.verify(asked, wrong)).status_code == 400
            times.append(perf_counter() - began)
    known, unknown = (median(times) for times in took.values())
    print(f"wrong code {known * 1e3:.2f} ms, unknown id {unknown * 1e3:.2f} ms, ratio {known / unknown:.2f}")
    assert 0.75 < known / unknown < 1.33
