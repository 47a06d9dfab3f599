"""Refresh tokens: rotated, replayed within ten seconds, and the end of the whole login when they are stolen."""

import asyncio
import base64
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from access_testkit import bearer, log_in, me, refresh, with_clock
from api_testkit import Api, assert_problem

from contactship_api.access.authenticate import FRESH_SECONDS
from contactship_common.refresh_tokens import issue_refresh_token
from contactship_common.settings import ApiSettings

EMAIL = "agent@example.com"
SECRET = "secret-of-the-tests-0123456789abcdefghij"


def family_of(token: str) -> UUID:
    return UUID(token.split(".")[0])


async def login(api: Api) -> dict[str, Any]:
    await api.make_user(EMAIL)
    return await log_in(api, EMAIL)


async def test_a_refresh_gives_new_tokens_and_kills_the_old_one(api: Api, sql: Any) -> None:
    first = await login(api)
    answer = await refresh(api, first["refresh_token"])
    second = answer.json()
    assert answer.status_code == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert second["user"]["email"] == EMAIL
    assert await me(api, second["access_token"]) == 200
    assert (await refresh(api, second["refresh_token"])).status_code == 200
    # Two generations behind is no lost answer, however quick.
    assert_problem(await refresh(api, first["refresh_token"]), 401, "invalid_refresh_token")


async def test_fifty_parallel_refreshes_get_one_and_the_same_successor(api: Api, sql: Any, audited: Any) -> None:
    token = (await login(api))["refresh_token"]
    answers = await asyncio.gather(*(refresh(api, token) for _ in range(50)))
    assert [a.status_code for a in answers] == [200] * 50
    [successor] = {a.json()["refresh_token"] for a in answers}
    assert [row["generation"] for row in await sql("SELECT generation FROM token_families")] == [2]
    assert await audited("auth.refresh_token_reused") == []
    assert (await refresh(api, successor)).status_code == 200


async def test_a_lost_answer_is_given_again_for_ten_seconds(api: Api, sql: Any) -> None:
    token = (await login(api))["refresh_token"]
    successor = (await refresh(api, token)).json()["refresh_token"]
    await sql("UPDATE token_families SET rotated_at = rotated_at - interval '9 seconds'")
    assert (await refresh(api, token)).json()["refresh_token"] == successor


async def test_reuse_after_ten_seconds_kills_the_family_with_its_new_tokens_and_is_audited(
    api: Api, sql: Any, audited: Any
) -> None:
    clock = with_clock(api)
    first = await login(api)
    second = (await refresh(api, first["refresh_token"])).json()
    assert await me(api, second["access_token"]) == 200
    await sql("UPDATE token_families SET rotated_at = rotated_at - interval '10.1 seconds'")

    stolen = await refresh(api, first["refresh_token"])
    assert_problem(stolen, 401, "invalid_refresh_token", not_shown=first["refresh_token"])
    assert_problem(await refresh(api, second["refresh_token"]), 401, "invalid_refresh_token")
    clock.now += FRESH_SECONDS
    assert await me(api, first["access_token"]) == 401
    assert await me(api, second["access_token"]) == 401

    [row] = await audited("auth.refresh_token_reused")
    assert (row["ip"], row["request_id"]) == ("127.0.0.1", stolen.headers["x-request-id"])
    assert row["entity_id"] == first["user"]["id"]
    assert row["data"] == {"family": str(family_of(first["refresh_token"])), "generation": 1}


async def test_parallel_reuse_is_one_theft(api: Api, sql: Any, audited: Any) -> None:
    token = (await login(api))["refresh_token"]
    await refresh(api, token)
    await sql("UPDATE token_families SET rotated_at = rotated_at - interval '1 minute'")
    answers = await asyncio.gather(*(refresh(api, token) for _ in range(10)))
    assert {a.status_code for a in answers} == {401}
    assert len(await audited("auth.refresh_token_reused")) == 1


async def test_another_login_of_the_same_person_survives_the_theft_of_one(api: Api, sql: Any) -> None:
    stolen, other = await login(api), await log_in(api, EMAIL)
    await refresh(api, stolen["refresh_token"])
    await sql("UPDATE token_families SET rotated_at = rotated_at - interval '1 minute'")
    assert (await refresh(api, stolen["refresh_token"])).status_code == 401
    assert (await refresh(api, other["refresh_token"])).status_code == 200


def damaged(token: str) -> dict[str, str]:
    family, generation, signature = token.split(".")
    return {
        "empty": "",
        "a space": " ",
        "one word": "token",
        "no signature": f"{family}.{generation}.",
        "truncated": token[:-1],
        "longer": f"{token}A",
        "padded": f"{token}=",
        "first letter changed": f"{family}.{generation}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}",
        "another generation": f"{family}.2.{signature}",
        "negative generation": f"{family}.-1.{signature}",
        "leading zero": f"{family}.0{generation}.{signature}",
        "plus sign": f"{family}.+{generation}.{signature}",
        "underscore": f"{family}.{generation}_0.{signature}",
        "arabic digit": f"{family}.\u0661.{signature}",
        "huge generation": f"{family}.{'9' * 5_000}.{signature}",
        "another family": f"{uuid4()}.{generation}.{signature}",
        "family in capitals": f"{family.upper()}.{generation}.{signature}",
        "family without hyphens": f"{family.replace('-', '')}.{generation}.{signature}",
        "family in braces": f"{{{family}}}.{generation}.{signature}",
        "four parts": f"{token}.{signature}",
        "huge": f"{family}.{generation}.{'A' * 500_000}",
        "control character": f"{family}.{generation}.\x01{signature}",
        "not ASCII": f"{family}.{generation}.ñ{signature}",
        "base64": base64.b64encode(token.encode()).decode(),
        "foreign key": issue_refresh_token(ApiSettings(jwt_secret="another" * 8), UUID(family), int(generation)),
        "unknown family": issue_refresh_token(ApiSettings(jwt_secret=SECRET), uuid4(), 1),
    }


async def test_damaged_forged_and_foreign_tokens_are_refused_and_harm_nobody(api: Api, audited: Any) -> None:
    token = (await login(api))["refresh_token"]
    for what, wrong in damaged(token).items():
        answer = await refresh(api, wrong)
        assert answer.status_code == 401, (what, answer.text)
        assert_problem(answer, 401, "invalid_refresh_token")
    assert await audited("auth.refresh_token_reused") == []
    assert (await refresh(api, token)).status_code == 200


async def test_access_and_refresh_tokens_do_not_stand_in_for_each_other(api: Api) -> None:
    tokens = await login(api)
    assert_problem(await refresh(api, tokens["access_token"]), 401, "invalid_refresh_token")
    assert await me(api, tokens["refresh_token"]) == 401
    claims = jwt.decode(tokens["access_token"], options={"verify_signature": False}) | {"typ": "refresh"}
    assert await me(api, jwt.encode(claims, SECRET, algorithm="HS256")) == 401


async def test_an_expired_login_cannot_be_refreshed(api: Api, sql: Any, audited: Any) -> None:
    token = (await login(api))["refresh_token"]
    await sql("UPDATE token_families SET expires_at = now() - interval '1 second'")
    assert_problem(await refresh(api, token), 401, "invalid_refresh_token")
    assert await audited("auth.refresh_token_reused") == []


async def test_each_refresh_prolongs_the_login(make_api: Any, sql: Any) -> None:
    api = await make_api(refresh_expires_in="7d")
    token = (await login(api))["refresh_token"]
    await sql("UPDATE token_families SET expires_at = now() + interval '1 minute'")
    await refresh(api, token)
    [row] = await sql("SELECT extract(epoch FROM expires_at - now())::float8 AS left FROM token_families")
    assert row["left"] == pytest.approx(7 * 86_400, abs=60)


async def test_a_deactivated_user_cannot_refresh(api: Api, sql: Any) -> None:
    token = (await login(api))["refresh_token"]
    await sql("UPDATE users SET active = false")
    assert_problem(await refresh(api, token), 401, "invalid_refresh_token")


async def test_a_rotated_secret_logs_nobody_out_while_the_previous_one_is_known(make_api: Any) -> None:
    old = await make_api(jwt_secret=SECRET)
    tokens = await login(old)
    rotated = await make_api(jwt_secret="n" * 40, jwt_secret_previous=SECRET)
    assert await me(rotated, tokens["access_token"]) == 200
    renewed = (await refresh(rotated, tokens["refresh_token"])).json()
    assert (await refresh(rotated, tokens["refresh_token"])).json()["refresh_token"] == renewed["refresh_token"]

    without = await make_api(jwt_secret="n" * 40)
    assert await me(without, tokens["access_token"]) == 401
    assert (await refresh(without, tokens["refresh_token"])).status_code == 401
    assert await me(without, renewed["access_token"]) == 200
    assert (await refresh(without, renewed["refresh_token"])).status_code == 200


async def test_refreshing_needs_no_access_token_and_ignores_a_wrong_one(api: Api) -> None:
    token = (await login(api))["refresh_token"]
    answer = await bearer(api, "rubbish").post("/api/v1/auth/refresh", json={"refreshToken": token})
    assert answer.status_code == 200
