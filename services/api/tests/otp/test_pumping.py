"""A prefix that asks for many codes and verifies hardly any is paused: somebody earns money with these SMS."""

import asyncio

import pytest
from api_testkit import assert_problem
from otp_testkit import Codes

from contactship_api.otp.phones import OF_PREFIX

PREFIX = "+549115555"
NEXT = f"{PREFIX}9999"
ELSEWHERE = "+5491166669999"


async def asked_for(codes: Codes, count: int, *, verified: int = 0, seconds_ago: int = 0, each: int = 0) -> None:
    """So many codes of the prefix; the newest was asked for so long ago, each before it so much earlier."""
    await codes.sql(
        "INSERT INTO otp_challenges (id, phone_e164, purpose, nonce, expires_at, status, correlation_id, requested_by,"
        " created_at) SELECT gen_random_uuid(), %s || to_char(n, 'FM0000'), 'LOGIN_2FA', '\\x00', now(),"
        " CASE WHEN n <= %s THEN 'VERIFIED' ELSE 'EXPIRED' END, gen_random_uuid()::text, 'user:x',"
        " now() - make_interval(secs => %s + n * %s) FROM generate_series(1, %s) AS n",
        PREFIX,
        verified,
        seconds_ago,
        each,
        count,
    )


async def test_twenty_codes_of_which_none_was_verified_pause_the_prefix(codes: Codes) -> None:
    await asked_for(codes, 19)
    await codes.new(NEXT)
    refused = await codes.ask(f"{PREFIX}8888")
    assert_problem(refused, 429, "otp_rate_limited")
    assert 3_590 <= int(refused.headers["retry-after"]) <= 3_600
    await codes.new(ELSEWHERE)
    assert await codes.limits(f"{PREFIX}8888") == (0, 0)


@pytest.mark.parametrize(
    ("sent", "verified", "paused"),
    [(19, 0, False), (20, 0, True), (20, 1, True), (20, 2, False), (29, 2, True), (30, 3, False), (70, 7, False)],
)
async def test_a_tenth_that_is_verified_is_enough(codes: Codes, sent: int, verified: int, paused: bool) -> None:
    await asked_for(codes, sent, verified=verified)
    assert (await codes.ask(NEXT)).status_code == (429 if paused else 201)


async def test_the_pause_ends_an_hour_after_the_last_code(codes: Codes) -> None:
    # One a minute: by the time of the last one the first is 40 minutes old, and the pause is a full hour all the same.
    await asked_for(codes, 40, seconds_ago=3_500, each=60)
    refused = await codes.ask(NEXT)
    assert_problem(refused, 429, "otp_rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 161
    await codes.sql("UPDATE otp_challenges SET created_at = created_at - interval '160 seconds'")
    await codes.new(NEXT)
    await codes.new(f"{PREFIX}9998")


async def test_a_code_that_is_known_already_is_told_during_the_pause(codes: Codes) -> None:
    await asked_for(codes, 19)
    await codes.new(NEXT, correlationId="login-1")
    assert (await codes.ask(NEXT, correlationId="login-1")).status_code == 200


async def test_many_at_once_do_not_slip_past(codes: Codes) -> None:
    answers = await asyncio.gather(*(codes.ask(f"{PREFIX}{number:04}") for number in range(40)))
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [429] * 20


async def test_the_prefix_is_read_by_its_index(codes: Codes) -> None:
    for _ in range(3):
        await asked_for(codes, 900, seconds_ago=10, each=3)
    await codes.sql(
        "UPDATE otp_challenges SET phone_e164 = replace(phone_e164, '+549115555', '+54911' || (1000 + random() * 8999)::int)"
    )
    await codes.sql("ANALYZE otp_challenges")
    statement = str(OF_PREFIX).replace(":prefix", f"'{PREFIX}'").replace(":pause", "3600")
    plan = "\n".join(row["QUERY PLAN"] for row in await codes.sql(f"EXPLAIN {statement}"))
    assert plan.count("ix_otp_challenges_phone_prefix") == 2, plan
    assert "Seq Scan" not in plan
