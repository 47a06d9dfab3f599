"""Login, the caller, logout, change of password."""

import asyncio
import time
from typing import Any

import jwt
import pytest
from access_testkit import TestClock, bearer, log_in, me, refresh, with_clock
from api_testkit import ROOT_KEY, Api, assert_problem, until
from api_testkit.api import PASSWORD
from argon2 import PasswordHasher

from contactship_api.access.authenticate import FRESH_SECONDS
from contactship_common import passwords

EMAIL = "agent@example.com"
NEW_PASSWORD = "a better password"


async def test_a_login_answers_with_everything_a_client_needs(api: Api) -> None:
    user_id = await api.make_user(EMAIL)
    body = await log_in(api, EMAIL)
    assert set(body) == {"access_token", "token", "token_type", "expires_in", "refresh_token", "user"}
    assert body["token"] == body["access_token"]
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3_600)
    user = body["user"]
    assert set(user) == {"id", "email", "name", "role", "active", "createdAt"}
    assert (user["id"], user["email"], user["role"], user["active"]) == (user_id, EMAIL, "SALES_AGENT", True)


async def test_an_access_token_carries_the_documented_claims_and_no_more_than_the_login(api: Api) -> None:
    await api.make_user(EMAIL)
    body = await log_in(api, EMAIL)
    assert jwt.get_unverified_header(body["token"])["alg"] == "HS256"
    claims = jwt.decode(body["token"], options={"verify_signature": False})
    assert set(claims) == {"sub", "email", "uid", "role", "iat", "exp", "jti", "typ", "fam"}
    assert (claims["sub"], claims["email"], claims["uid"]) == (EMAIL, EMAIL, body["user"]["id"])
    assert claims["exp"] - claims["iat"] == body["expires_in"]
    assert claims["fam"] == body["refresh_token"].split(".")[0]


@pytest.mark.parametrize(("setting", "seconds"), [("1h", 3_600), ("15m", 900), ("3600", 3_600), ("45s", 45)])
async def test_the_life_of_a_token_can_be_set(make_api: Any, setting: str, seconds: int) -> None:
    api = await make_api(jwt_expires_in=setting)
    await api.make_user(EMAIL)
    assert (await log_in(api, EMAIL))["expires_in"] == seconds


@pytest.mark.parametrize("email", ["AGENT@Example.COM", "  agent@example.com "])
async def test_the_case_of_an_address_and_spaces_around_it_do_not_matter(api: Api, email: str) -> None:
    await api.make_user(EMAIL)
    assert (await log_in(api, email))["user"]["email"] == EMAIL


async def test_every_wrong_login_answers_alike(api: Api, sql: Any) -> None:
    await api.make_user(EMAIL)
    await api.make_user("gone@example.com")
    await sql("UPDATE users SET active = false WHERE email = 'gone@example.com'")
    tries = [
        (EMAIL, "incorrect"),
        (EMAIL, f" {PASSWORD}"),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("gone@example.com", PASSWORD),
    ]
    told = set()
    for email, password in tries:
        answer = await api.anonymous.post("/api/v1/auth/login", json={"email": email, "password": password})
        body = assert_problem(answer, 401, "invalid_login", not_shown=password)
        told.add((body["detail"], body["title"], answer.headers["www-authenticate"]))
    assert len(told) == 1


async def test_a_hash_with_older_parameters_is_replaced_at_login(api: Api, sql: Any) -> None:
    await api.make_user(EMAIL)
    older = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash(PASSWORD)
    await sql("UPDATE users SET password_hash = %s", older)
    answers = await asyncio.gather(*(log_in(api, EMAIL) for _ in range(3)))
    assert len(answers) == 3
    [row] = await sql("SELECT password_hash FROM users")
    assert row["password_hash"] != older
    assert not passwords._hasher.check_needs_rehash(row["password_hash"])
    await log_in(api, EMAIL)


async def test_the_caller_is_shown_under_both_names(api: Api) -> None:
    user_id = await api.make_user(EMAIL)
    client = bearer(api, (await log_in(api, EMAIL))["token"])
    body = (await client.get("/api/v1/auth/me")).json()
    assert (await client.get("/api/v1/auth/profile")).json() == body
    assert (await client.get("/auth/profile")).json() == body
    assert (body["kind"], body["id"], body["email"], body["role"]) == ("user", user_id, EMAIL, "SALES_AGENT")
    root = (await api.get("/api/v1/auth/me")).json()
    assert (root["kind"], root["id"], root["email"]) == ("key", None, None)
    assert "admin" in root["scopes"]


async def test_the_root_key_is_compared_whole(api: Api) -> None:
    for key in ("", ROOT_KEY[:-1], f"{ROOT_KEY}x", ROOT_KEY.upper()):
        assert (await api.client({"x-api-key": key}).get("/api/v1/auth/me")).status_code == 401


async def test_without_a_root_key_an_empty_key_opens_nothing(make_api: Any) -> None:
    api = await make_api(api_secret_key="")
    assert (await api.client({"x-api-key": ""}).get("/api/v1/auth/me")).status_code == 401


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "Bearer a b", "Bearer é"])
async def test_an_odd_authorization_header_is_refused(api: Api, value: str) -> None:
    client = api.client({})
    answer = await client.get("/api/v1/auth/me", headers=[(b"authorization", value.encode("latin-1"))])
    assert_problem(answer, 401, "unauthenticated")


async def test_an_expired_token_is_refused_even_if_it_was_just_seen(make_api: Any) -> None:
    api = await make_api(jwt_expires_in="1s")
    await api.make_user(EMAIL)
    client = bearer(api, (await log_in(api, EMAIL))["token"])

    async def refused() -> bool:
        return (await client.get("/api/v1/auth/me")).status_code == 401

    await until(refused, "the end of a token that lives a second", seconds=3)


async def test_a_token_from_a_machine_whose_clock_is_ahead_is_accepted(api: Api) -> None:
    user_id = await api.make_user(EMAIL)
    now = int(time.time())
    claims = {
        "sub": EMAIL, "email": EMAIL, "uid": user_id, "role": "SALES_AGENT", "typ": "access",
        "iat": now + 5, "exp": now + 600, "jti": "1",
    }  # fmt: skip
    assert await me(api, jwt.encode(claims, api.gateway.settings.jwt_secret, algorithm="HS256")) == 200


async def test_logout_ends_this_login_and_no_other(api: Api) -> None:
    await api.make_user(EMAIL)
    ended, other = await log_in(api, EMAIL), await log_in(api, EMAIL)
    answer = await bearer(api, ended["token"]).post("/api/v1/auth/logout")
    assert (answer.status_code, answer.content) == (204, b"")
    assert await me(api, ended["token"]) == 401
    assert (await refresh(api, ended["refresh_token"])).status_code == 401
    assert await me(api, other["token"]) == 200
    assert (await refresh(api, other["refresh_token"])).status_code == 200


async def test_a_changed_password_ends_every_login(api: Api) -> None:
    clock: TestClock = with_clock(api)
    await api.make_user(EMAIL)
    logins = [await log_in(api, EMAIL) for _ in range(2)]
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    answer = await bearer(api, logins[0]["token"]).post("/api/v1/auth/change-password", json=body)
    assert answer.status_code == 204
    clock.now += FRESH_SECONDS
    for login in logins:
        assert await me(api, login["token"]) == 401
        assert (await refresh(api, login["refresh_token"])).status_code == 401
    old = await api.anonymous.post("/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
    assert_problem(old, 401, "invalid_login")
    await log_in(api, EMAIL, NEW_PASSWORD)


async def test_a_change_of_password_needs_the_current_one(api: Api, audited: Any) -> None:
    await api.make_user(EMAIL)
    login = await log_in(api, EMAIL)
    client = bearer(api, login["token"])
    body = {"currentPassword": "wrong", "newPassword": NEW_PASSWORD}
    refused = await client.post("/api/v1/auth/change-password", json=body)
    assert_problem(refused, 422, "wrong_password", not_shown=NEW_PASSWORD)
    short = await client.post("/api/v1/auth/change-password", json={**body, "newPassword": "1234567"})
    assert_problem(short, 422, "validation_failed", not_shown="1234567")
    assert await me(api, login["token"]) == 200
    assert len(await audited("auth.password_change_refused")) == 1


async def test_of_two_parallel_changes_of_password_one_wins(api: Api) -> None:
    await api.make_user(EMAIL)
    client = bearer(api, (await log_in(api, EMAIL))["token"])
    answers = await asyncio.gather(
        *(
            client.post("/api/v1/auth/change-password", json={"currentPassword": PASSWORD, "newPassword": new})
            for new in ("password of one", "password of two")
        )
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1
    # The other finds its password changed, or its login ended already.
    assert set(statuses) <= {204, 401, 409, 422}
    winner = ("password of one", "password of two")[statuses.index(204)]
    await log_in(api, EMAIL, winner)


@pytest.mark.parametrize("meanwhile", ["password_hash = 'x'", "active = false"])
async def test_a_login_does_not_slip_in_behind_what_has_ended_all_logins(
    api: Api, sql: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    await api.make_user(EMAIL)
    verify = passwords.verify_password

    async def verify_slowly(password: str, stored: str | None) -> tuple[bool, str | None]:
        found = await verify(password, stored)
        await sql(f"UPDATE users SET {meanwhile}")
        return found

    monkeypatch.setattr(passwords, "verify_password", verify_slowly)
    answer = await api.anonymous.post("/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})
    assert_problem(answer, 401, "invalid_login")
    assert await sql("SELECT 1 FROM token_families") == []


@pytest.mark.parametrize("path", ["logout", "change-password"])
async def test_machines_have_no_login_to_end_and_no_password(api: Api, path: str) -> None:
    body = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    answer = await api.post(f"/api/v1/auth/{path}", json=body if path == "change-password" else None)
    assert_problem(answer, 403, "people_only")
