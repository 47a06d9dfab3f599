"""Who may make accounts, and with which role."""

import asyncio
from typing import Any

import pytest
from access_testkit import bearer, log_in, make_key
from api_testkit import Api, assert_problem

BODY = {"email": "New@Example.com ", "password": "correct horse battery", "name": "Ana"}


async def register(client: Any, **more: Any) -> Any:
    return await client.post("/api/v1/auth/register", json={**BODY, **more})


async def test_a_stranger_becomes_a_sales_agent_where_registration_is_open(api: Api) -> None:
    answer = await register(api.anonymous)
    body = answer.json()
    assert answer.status_code == 201
    assert set(body) == {"access_token", "token", "token_type", "expires_in", "refresh_token", "user"}
    assert (body["user"]["email"], body["user"]["role"]) == ("new@example.com", "SALES_AGENT")
    assert (await bearer(api, body["token"]).get("/api/v1/leads")).status_code == 200
    await log_in(api, "new@example.com")


@pytest.mark.parametrize("role", ["ADMIN"])
async def test_a_stranger_and_an_agent_cannot_choose_a_role(api: Api, sql: Any, role: str) -> None:
    agent = await api.client_for("SALES_AGENT")
    for client in (api.anonymous, agent):
        assert_problem(await register(client, role=role), 403, "role_not_allowed")
    assert await sql("SELECT 1 FROM users WHERE role = 'ADMIN'") == []
    assert_problem(await register(api.anonymous, role="SUPERUSER"), 422, "validation_failed")


async def test_an_admin_makes_any_role(api: Api) -> None:
    admin = await api.client_for("ADMIN")
    answer = await register(admin, role="ADMIN")
    assert (answer.status_code, answer.json()["user"]["role"]) == (201, "ADMIN")
    root = await register(api.root, email="second@example.com", role="ADMIN")
    assert (root.status_code, root.json()["user"]["role"]) == (201, "ADMIN")


async def test_a_key_needs_the_right_admin_to_choose_a_role(api: Api) -> None:
    weak = api.client({"x-api-key": (await make_key(api, "leads:admin", "audit:read"))["key"]})
    assert_problem(await register(weak, role="ADMIN"), 403, "role_not_allowed")
    strong = api.client({"x-api-key": (await make_key(api, "admin"))["key"]})
    assert (await register(strong, role="ADMIN")).status_code == 201


async def test_where_registration_is_closed_only_an_admin_makes_accounts(make_api: Any) -> None:
    api = await make_api(allow_self_registration=False)
    agent, admin = await api.client_for("SALES_AGENT"), await api.client_for("ADMIN")
    for client in (api.anonymous, agent):
        assert_problem(await register(client), 403, "registration_closed")
    assert (await register(admin)).status_code == 201


@pytest.mark.parametrize(
    ("environment", "setting", "is_open"),
    [
        ("development", None, True),
        ("production", None, False),
        ("production", True, True),
        ("development", False, False),
    ],
)
async def test_registration_is_open_in_development_and_closed_in_production(
    make_api: Any, environment: str, setting: bool | None, is_open: bool
) -> None:
    api = await make_api(environment=environment, allow_self_registration=setting)
    assert (await register(api.anonymous)).status_code == (201 if is_open else 403)


async def test_wrong_credentials_are_refused_and_not_taken_for_a_stranger(api: Api) -> None:
    assert_problem(await register(bearer(api, "rubbish")), 401, "unauthenticated")
    assert_problem(await register(api.client({"x-api-key": "rubbish"})), 401, "unauthenticated")


async def test_an_address_is_taken_once_in_whatever_case_and_at_whatever_moment(api: Api, sql: Any) -> None:
    answers = await asyncio.gather(*(register(api.anonymous, email=e) for e in ("a@x.com", "A@X.com", "a@X.COM ") * 4))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 11
    assert_problem(await register(api.anonymous, email="A@x.com"), 409, "email_taken")
    assert len(await sql("SELECT 1 FROM users")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"email": "no-address"},
        {"email": None},
        {"password": "1234567"},
        {"password": None},
        {"password": "x" * 1_001},
        {"name": "x" * 256},
        {"name": "line\nbreak"},
        {"isAdmin": True},
        {"active": False},
    ],
)
async def test_what_does_not_fit_is_refused_without_repeating_it(api: Api, change: dict[str, Any]) -> None:
    answer = await register(api.anonymous, **change)
    assert_problem(answer, 422, "validation_failed", not_shown=str(change.get("password") or "no-address"))


async def test_passwords_keep_their_spaces_and_any_character(api: Api) -> None:
    password = "  пароль 🔑 con eñe  "
    assert (await register(api.anonymous, password=password)).status_code == 201
    await log_in(api, "new@example.com", password)
    trimmed = {"email": "new@example.com", "password": password.strip()}
    assert_problem(await api.anonymous.post("/api/v1/auth/login", json=trimmed), 401, "invalid_login")
