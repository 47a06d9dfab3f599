"""Codes that nobody tried end by themselves, and old ones are forgotten."""

import asyncio

from contactship_common.runtime import Runtime
from contactship_devstack.testing import Sql
from contactship_sync_worker.otp_expiry import OtpExpiry
from contactship_sync_worker.retention import Retention


async def make_code(sql: Sql, name: str, status: str, *, expires_in: int, interaction: str = "IN_PROGRESS") -> None:
    await sql(
        "WITH i AS (INSERT INTO interactions (id, channel, direction, status, provider, ai_handled)"
        " VALUES (gen_random_uuid(), 'SMS', 'OUTBOUND', %s, 'TWILIO', false) RETURNING id)"
        " INSERT INTO otp_challenges (id, phone_e164, purpose, nonce, expires_at, status, correlation_id, requested_by,"
        " interaction_id) SELECT gen_random_uuid(), '+5491155550000' || length(%s), 'LOGIN_2FA', '\\x00',"
        " now() + make_interval(secs => %s), %s, %s, 'user:x', id FROM i",
        interaction,
        name,
        expires_in,
        status,
        name,
    )


async def states(sql: Sql) -> dict[str, tuple[str, str]]:
    rows = await sql(
        "SELECT c.correlation_id, c.status, i.status AS interaction FROM otp_challenges c"
        " JOIN interactions i ON i.id = c.interaction_id"
    )
    return {row["correlation_id"]: (row["status"], row["interaction"]) for row in rows}


async def test_codes_that_nobody_tried_in_time_expire_and_others_stay(runtime: Runtime, sql: Sql) -> None:
    await make_code(sql, "a", "PENDING", expires_in=-5)
    await make_code(sql, "bb", "SENT", expires_in=-5)
    await make_code(sql, "ccc", "SENT", expires_in=60)
    await make_code(sql, "dddd", "VERIFIED", expires_in=-5, interaction="COMPLETED")
    await make_code(sql, "eeeee", "LOCKED", expires_in=-5, interaction="FAILED")
    await make_code(sql, "ffffff", "SENT", expires_in=-5, interaction="FAILED")
    assert await OtpExpiry(runtime).sweep() == 3
    assert await states(sql) == {
        "a": ("EXPIRED", "ABANDONED"),
        "bb": ("EXPIRED", "ABANDONED"),
        "ccc": ("SENT", "IN_PROGRESS"),
        "dddd": ("VERIFIED", "COMPLETED"),
        "eeeee": ("LOCKED", "FAILED"),
        "ffffff": ("EXPIRED", "FAILED"),
    }
    [ended] = await sql(
        "SELECT ended_at = expires_at AS right FROM interactions i JOIN otp_challenges c ON i.id = c.interaction_id"
        " WHERE c.correlation_id = 'a'"
    )
    assert ended["right"]
    assert await OtpExpiry(runtime).sweep() == 0


async def test_two_schedulers_expire_each_code_once(runtime: Runtime, sql: Sql) -> None:
    await sql(
        "INSERT INTO otp_challenges (id, phone_e164, purpose, nonce, expires_at, status, correlation_id, requested_by)"
        " SELECT gen_random_uuid(), '+54911' || n, 'LOGIN_2FA', '\\x00', now() - interval '1 second', 'SENT', n::text,"
        " 'user:x' FROM generate_series(10000000, 10002499) AS n"
    )
    swept = await asyncio.gather(OtpExpiry(runtime).sweep(), OtpExpiry(runtime).sweep())
    assert sum(swept) + await OtpExpiry(runtime).sweep() == 2_500
    [left] = await sql("SELECT count(*) AS n FROM otp_challenges WHERE status <> 'EXPIRED'")
    assert left["n"] == 0


async def test_old_codes_go_with_their_sendings_and_old_limits_with_them(runtime: Runtime, sql: Sql) -> None:
    await make_code(sql, "a", "VERIFIED", expires_in=-5)
    await make_code(sql, "bb", "VERIFIED", expires_in=-5)
    await sql(
        "INSERT INTO deliveries (id, otp_challenge_id, interaction_id, channel, to_number, state, provider_rank)"
        " SELECT gen_random_uuid(), id, interaction_id, 'SMS', phone_e164, 'SENT', 4 FROM otp_challenges"
    )
    await sql(
        "INSERT INTO otp_limits (phone_e164, purpose, window_started_at, sent, wrong) VALUES"
        " ('+1', 'LOGIN_2FA', now() - interval '31 days', 3, 5), ('+2', 'LOGIN_2FA', now() - interval '29 days', 3, 5),"
        " ('+1', 'PASSWORD_RESET', now(), 3, 5)"
    )
    await sql("UPDATE otp_challenges SET created_at = now() - interval '31 days' WHERE correlation_id = 'a'")
    await sql("UPDATE otp_challenges SET created_at = now() - interval '29 days' WHERE correlation_id = 'bb'")
    gone = await Retention(runtime).sweep()
    assert (gone["otp_challenges"], gone["otp_limits"]) == (1, 1)
    assert set(await states(sql)) == {"bb"}
    [deliveries] = await sql("SELECT count(*) AS n FROM deliveries")
    [interactions] = await sql("SELECT count(*) AS n FROM interactions")
    assert (deliveries["n"], interactions["n"]) == (1, 2)
    left = await sql("SELECT phone_e164, purpose FROM otp_limits ORDER BY 1, 2")
    assert [(row["phone_e164"], row["purpose"]) for row in left] == [("+1", "PASSWORD_RESET"), ("+2", "LOGIN_2FA")]
