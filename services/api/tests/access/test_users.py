"""/users: accounts as administrators see and change them."""

import asyncio
from typing import Any

import pytest
from access_testkit import TestClock, log_in, me, refresh, with_clock
from api_testkit import Api, assert_problem

from contactship_api.access.authenticate import FRESH_SECONDS

EMAIL = "agent@example.com"
PASSWORD = "a password of eight"


async def test_an_admin_makes_an_account_that_can_log_in(api: Api) -> None:
    body = {"email": " Agent@Example.com", "password": PASSWORD, "name": "Ana"}
    answer = await api.post("/api/v1/users", json=body)
    user = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/users/{user['id']}"
    assert set(user) == {"id", "email", "name", "role", "active", "createdAt"}
    assert (user["email"], user["role"], user["active"]) == (EMAIL, "SALES_AGENT", True)
    assert (await log_in(api, EMAIL, PASSWORD))["user"] == user
    assert (await api.get(f"/api/v1/users/{user['id']}")).json() == user
    assert_problem(await api.post("/api/v1/users", json=body), 409, "email_taken")


async def test_the_same_creation_sent_twice_with_one_idempotency_key_makes_one_account(api: Api, sql: Any) -> None:
    body = {"email": EMAIL, "password": PASSWORD}
    answers = [await api.post("/api/v1/users", json=body, headers={"idempotency-key": "k-1"}) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201]
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[0].json() == answers[1].json()
    assert len(await sql("SELECT 1 FROM users")) == 1


async def test_the_list_is_by_address_and_can_be_filtered_and_paged(api: Api, sql: Any) -> None:
    for n in range(12):
        await api.make_user(f"u{n:02}@example.com", "ADMIN" if n % 4 == 0 else "SALES_AGENT")
    await sql("UPDATE users SET active = false WHERE email = 'u01@example.com'")
    await sql("UPDATE users SET name = 'María 100%_López' WHERE email = 'u02@example.com'")

    async def emails(**query: Any) -> list[str]:
        answer = await api.get("/api/v1/users", params=query)
        assert answer.status_code == 200, answer.text
        return [user["email"].split("@")[0] for user in answer.json()["data"]]

    assert await emails() == [f"u{n:02}" for n in range(10)]
    assert await emails(page=2) == ["u10", "u11"]
    assert await emails(page=3) == []
    assert await emails(take=5, page=3) == ["u10", "u11"]
    assert await emails(limit=2) == ["u00", "u01"]
    assert await emails(role="ADMIN") == ["u00", "u04", "u08"]
    assert await emails(active="false") == ["u01"]
    assert await emails(search="MARÍA") == ["u02"]
    assert await emails(search="100%_l") == ["u02"]
    assert await emails(search="%") == ["u02"]
    assert await emails(search="U11@") == ["u11"]
    meta = (await api.get("/api/v1/users", params={"take": 5, "active": "true"})).json()["meta"]
    assert (meta["total"], meta["page"], meta["take"], meta["totalPages"]) == (11, 1, 5, 3)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("page=0", 422, "validation_failed"),
        ("take=101", 422, "validation_failed"),
        ("take=abc", 422, "validation_failed"),
        ("take=5&limit=6", 422, "validation_failed"),
        ("role=BOSS", 422, "validation_failed"),
        ("active=perhaps", 422, "validation_failed"),
        ("search=" + "x" * 201, 422, "validation_failed"),
        ("search=%00", 422, "validation_failed"),
        ("order=email", 422, "validation_failed"),
        ("page=101&take=100", 400, "page_too_deep"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str, status: int, code: str) -> None:
    assert_problem(await api.get(f"/api/v1/users?{query}"), status, code)


@pytest.mark.parametrize("user_id", ["01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f", "not-a-uuid", "%00", "1"])
async def test_an_unknown_id_is_not_found(api: Api, user_id: str) -> None:
    assert_problem(await api.get(f"/api/v1/users/{user_id}"), 404)
    assert_problem(await api.patch(f"/api/v1/users/{user_id}", json={"name": "x"}), 404)


@pytest.mark.parametrize(
    "body", [{"role": None}, {"active": None}, {"role": "BOSS"}, {"email": "x@example.com"}, {"password": "x" * 9}, []]
)
async def test_a_change_that_is_not_offered_is_refused(api: Api, body: Any) -> None:
    user_id = await api.make_user(EMAIL)
    assert_problem(await api.patch(f"/api/v1/users/{user_id}", json=body), 422, "validation_failed")


async def test_a_rename_leaves_logins_alone_and_a_blank_name_is_none(api: Api) -> None:
    clock: TestClock = with_clock(api)
    user_id = await api.make_user(EMAIL)
    token = (await log_in(api, EMAIL))["token"]
    renamed = await api.patch(f"/api/v1/users/{user_id}", json={"name": "Bea"})
    assert renamed.json()["name"] == "Bea"
    assert (await api.patch(f"/api/v1/users/{user_id}", json={"name": " "})).json()["name"] is None
    clock.now += FRESH_SECONDS
    assert await me(api, token) == 200


async def test_nothing_changed_is_not_audited(api: Api, audited: Any) -> None:
    user_id = await api.make_user(EMAIL)
    for body in ({}, {"active": True}, {"role": "SALES_AGENT", "name": "Someone"}):
        assert (await api.patch(f"/api/v1/users/{user_id}", json=body)).status_code == 200
    assert await audited("user.update") == []


@pytest.mark.parametrize("change", [{"role": "ADMIN"}, {"active": False}])
async def test_another_role_and_a_deactivation_end_all_logins(api: Api, change: dict[str, Any]) -> None:
    clock: TestClock = with_clock(api)
    user_id = await api.make_user(EMAIL)
    logins = [await log_in(api, EMAIL) for _ in range(2)]
    assert [await me(api, login["token"]) for login in logins] == [200, 200]
    assert (await api.patch(f"/api/v1/users/{user_id}", json=change)).status_code == 200
    clock.now += FRESH_SECONDS
    for login in logins:
        assert await me(api, login["token"]) == 401
        assert_problem(await refresh(api, login["refresh_token"]), 401, "invalid_refresh_token")


async def test_who_is_active_again_logs_in_anew_and_old_logins_stay_dead(api: Api) -> None:
    user_id = await api.make_user(EMAIL)
    old = await log_in(api, EMAIL)
    await api.patch(f"/api/v1/users/{user_id}", json={"active": False})
    await api.patch(f"/api/v1/users/{user_id}", json={"active": True})
    assert (await refresh(api, old["refresh_token"])).status_code == 401
    assert (await refresh(api, (await log_in(api, EMAIL))["refresh_token"])).status_code == 200


@pytest.mark.parametrize("change", [{"role": "SALES_AGENT"}, {"active": False}])
async def test_the_last_active_admin_stays_one(api: Api, sql: Any, change: dict[str, Any]) -> None:
    last = await api.make_user("last@example.com", "ADMIN")
    other = await api.make_user("other@example.com", "ADMIN")
    await sql("UPDATE users SET active = false WHERE id = %s", other)
    await log_in(api, "last@example.com")
    assert_problem(await api.patch(f"/api/v1/users/{last}", json=change), 409, "last_admin")
    assert await sql("SELECT 1 FROM token_families WHERE revoked_at IS NOT NULL") == []
    assert (await api.patch(f"/api/v1/users/{last}", json={"name": "Still here"})).status_code == 200
    await api.patch(f"/api/v1/users/{other}", json={"active": True})
    assert (await api.patch(f"/api/v1/users/{last}", json=change)).status_code == 200


@pytest.mark.parametrize("change", [{"role": "SALES_AGENT"}, {"active": False}])
async def test_admins_who_remove_each_other_in_parallel_leave_one(api: Api, sql: Any, change: dict[str, Any]) -> None:
    ids = [await api.make_user(f"admin-{n}@example.com", "ADMIN") for n in range(6)]
    for _ in range(3):
        answers = await asyncio.gather(*(api.patch(f"/api/v1/users/{user_id}", json=change) for user_id in ids))
        assert sorted(a.status_code for a in answers) == [200] * 5 + [409]
        assert len(await sql("SELECT 1 FROM users WHERE role = 'ADMIN' AND active")) == 1
        await sql("UPDATE users SET role = 'ADMIN', active = true")
