"""Each important act leaves exactly one row, which says who, from where and in which request, and tells no secret."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from access_testkit import bearer, log_in, make_key, refresh
from api_testkit import Api, make_lead, new_lead
from api_testkit.api import PASSWORD

EMAIL = "agent@example.com"
SECRET = "a password nobody may read"
AGENT = "Browser/1.0"

Act = Callable[[Api, httpx.AsyncClient], Awaitable[httpx.Response]]


async def good_login(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/auth/login", json={"email": EMAIL, "password": PASSWORD})


async def bad_login(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/auth/login", json={"email": EMAIL, "password": SECRET})


async def login_of_nobody(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/auth/login", json={"email": "nobody@example.com", "password": SECRET})


async def logout(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/auth/logout")


async def change_password(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    body = {"currentPassword": PASSWORD, "newPassword": SECRET}
    return await who.post("/api/v1/auth/change-password", json=body)


async def wrong_current_password(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    body = {"currentPassword": SECRET, "newPassword": SECRET}
    return await who.post("/api/v1/auth/change-password", json=body)


async def register(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/auth/register", json={"email": "new@example.com", "password": SECRET})


async def make_user(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/users", json={"email": "new@example.com", "password": SECRET})


async def change_user(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    user_id = await api.make_user("other@example.com")
    return await who.patch(f"/api/v1/users/{user_id}", json={"active": False, "name": "Juan Pérez"})


async def make_a_key(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/api-keys", json={"name": SECRET, "scopes": ["leads:read"]})


async def delete_key(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    key_id = (await make_key(api, "leads:read"))["id"]
    return await who.delete(f"/api/v1/api-keys/{key_id}")


async def create_lead(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    return await who.post("/api/v1/leads", json=new_lead(phone="+5491134567890"))


async def update_lead(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    lead = await make_lead(api)
    return await who.patch(f"/api/v1/leads/{lead['id']}", json={"status": "contacted"})


async def assign_lead(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    lead, owner = await make_lead(api), await api.make_user("owner@example.com")
    return await who.patch(f"/api/v1/leads/{lead['id']}", json={"ownerId": owner})


async def delete_lead(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    lead = await make_lead(api)
    return await who.delete(f"/api/v1/leads/{lead['id']}")


async def merge_leads(api: Api, who: httpx.AsyncClient) -> httpx.Response:
    lead, target = await make_lead(api), await make_lead(api)
    return await who.post(f"/api/v1/leads/{lead['id']}/merge", json={"intoId": target["id"]})


#                act             caller        status  action                          actor
ACTS: list[tuple[Act, str, int, str, str]] = [
    (good_login, "anonymous", 200, "auth.login", "subject"),
    (bad_login, "anonymous", 401, "auth.login_failed", "anonymous"),
    (login_of_nobody, "anonymous", 401, "auth.login_failed", "anonymous"),
    (logout, "person", 204, "auth.logout", "caller"),
    (change_password, "person", 204, "auth.password_changed", "caller"),
    (wrong_current_password, "person", 422, "auth.password_change_refused", "caller"),
    (register, "anonymous", 201, "user.create", "anonymous"),
    (make_user, "admin", 201, "user.create", "caller"),
    (change_user, "admin", 200, "user.update", "caller"),
    (make_a_key, "admin", 201, "api_key.create", "caller"),
    (delete_key, "admin", 204, "api_key.delete", "caller"),
    (create_lead, "admin", 201, "lead.create", "caller"),
    (update_lead, "admin", 200, "lead.update", "caller"),
    (assign_lead, "admin", 200, "lead.update", "caller"),
    (delete_lead, "admin", 204, "lead.delete", "caller"),
    (merge_leads, "admin", 200, "lead.merge", "caller"),
]


async def caller_of(api: Api, kind: str) -> tuple[httpx.AsyncClient, str]:
    if kind == "anonymous":
        return api.anonymous, "anonymous"
    email = {"person": EMAIL, "admin": "admin@example.com"}[kind]
    if kind == "admin":
        await api.make_user(email, "ADMIN")
    login = await log_in(api, email)
    return bearer(api, login["token"]), f"user:{login['user']['id']}"


@pytest.mark.parametrize(("act", "kind", "status", "action", "by"), ACTS, ids=lambda v: getattr(v, "__name__", str(v)))
async def test_an_act_leaves_one_row(
    api: Api, sql: Any, audited: Any, act: Act, kind: str, status: int, action: str, by: str
) -> None:
    agent_id = await api.make_user(EMAIL)
    client, actor = await caller_of(api, kind)
    client.headers.update({"x-request-id": f"request-{action}", "user-agent": AGENT})
    answer = await act(api, client)
    client.headers.pop("x-request-id")
    assert answer.status_code == status, answer.text
    [row] = [row for row in await audited() if row["request_id"] == f"request-{action}"]
    assert row["action"] == action
    assert row["actor"] == {"subject": f"user:{agent_id}", "anonymous": "anonymous", "caller": actor}[by]
    assert (row["ip"], row["user_agent"]) == ("127.0.0.1", AGENT)
    text = str(row)
    for secret in (PASSWORD, SECRET, "argon2", "csk_", "example.com", "Juan", "34567890", "eyJ"):
        assert secret not in text, secret


async def test_a_bad_login_names_the_account_it_was_aimed_at_and_no_address(api: Api, audited: Any) -> None:
    user_id = await api.make_user(EMAIL)
    await bad_login(api, api.anonymous)
    await login_of_nobody(api, api.anonymous)
    rows = await audited("auth.login_failed")
    assert [row["entity_id"] for row in rows] == [user_id, None]
    assert "nobody" not in str(rows)


async def test_a_refresh_that_is_no_theft_leaves_none(api: Api, audited: Any) -> None:
    await api.make_user(EMAIL)
    login = await log_in(api, EMAIL)
    await refresh(api, login["refresh_token"])
    await refresh(api, login["refresh_token"])
    await refresh(api, "rubbish")
    assert [row["action"] for row in await audited()] == ["auth.login"]


async def test_what_was_refused_leaves_none(api: Api, audited: Any) -> None:
    agent = await api.client_for("SALES_AGENT", EMAIL)
    await make_user(api, agent)
    await api.post("/api/v1/users", json={"email": EMAIL, "password": SECRET})
    await api.post("/api/v1/leads", json={})
    assert [row["action"] for row in await audited()] == ["auth.login"]
