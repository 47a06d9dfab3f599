"""/api-keys: what machines are let in with."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from access_testkit import TestClock, make_key, with_clock
from api_testkit import Api, assert_problem

from contactship_api.access.authenticate import FRESH_SECONDS
from contactship_api.access.permissions import Scope

# access.md: "the list is closed". A change of it is a change of what we promise.
DOCUMENTED_SCOPES = {
    "leads:read", "leads:write", "leads:admin", "meetings:read", "meetings:write", "ai:run", "sync:run",
    "conversations:read", "conversations:write", "messages:inbound", "interactions:read", "messages:send", "otp:send",
    "tasks:read", "webhooks:manage", "audit:read", "pii:read", "admin",
}  # fmt: skip


def test_the_list_of_scopes_is_the_documented_one() -> None:
    assert {scope.value for scope in Scope} == DOCUMENTED_SCOPES


async def test_a_secret_is_shown_once_and_only_a_keyed_hash_is_stored(api: Api, sql: Any) -> None:
    made = await make_key(api, "leads:write", "leads:read", "leads:read")
    assert set(made) == {"id", "name", "scopes", "createdAt", "expiresAt", "lastUsedAt", "key"}
    assert made["scopes"] == ["leads:read", "leads:write"]
    secret = made["key"].rsplit("_", 1)[-1] if made["key"].count("_") == 2 else made["key"].split("_", 2)[2]
    listed = await api.get("/api/v1/api-keys")
    assert set(listed.json()) == {"data"}
    assert listed.json()["data"] == [{name: value for name, value in made.items() if name != "key"}]
    for table in ("api_keys", "audit_logs", "idempotency_keys"):
        for row in await sql(f"SELECT t::text AS text FROM {table} t"):
            assert secret not in row["text"]
            assert secret.encode().hex() not in row["text"]


async def test_an_idempotency_key_does_not_keep_the_secret(api: Api, sql: Any) -> None:
    body = {"name": "x", "scopes": ["leads:read"]}
    answer = await api.post("/api/v1/api-keys", json=body, headers={"idempotency-key": "k"})
    assert answer.status_code == 201
    assert await sql("SELECT 1 FROM idempotency_keys") == []


async def test_a_key_opens_what_its_scopes_say_and_nothing_else(api: Api) -> None:
    client = api.client({"x-api-key": (await make_key(api, "leads:read"))["key"]})
    assert (await client.get("/api/v1/leads")).status_code == 200
    assert_problem(await client.post("/api/v1/leads", json={}), 403, "forbidden")
    assert_problem(await client.get("/api/v1/users"), 403, "forbidden")
    me = (await client.get("/api/v1/auth/me")).json()
    assert (me["kind"], me["scopes"], me["role"]) == ("key", ["leads:read"], None)


async def test_a_scope_that_is_no_longer_known_opens_nothing(api: Api, sql: Any) -> None:
    key = await make_key(api, "leads:read")
    await sql("UPDATE api_keys SET scopes = '{leads:everything,*,ADMIN}'")
    client = api.client({"x-api-key": key["key"]})
    assert (await client.get("/api/v1/auth/me")).json()["scopes"] == []
    assert_problem(await client.get("/api/v1/leads"), 403, "forbidden")


async def test_damaged_and_foreign_keys_are_refused(api: Api) -> None:
    key, other = (await make_key(api, "admin"))["key"], (await make_key(api, "admin"))["key"]
    prefix, key_id, secret = key.split("_", 2)
    for wrong in (
        key[:-1], f"{key}x", f"{prefix}_{key_id}_", f"{prefix}_{uuid4().hex}_{secret}", f"xyz_{key_id}_{secret}",
        f"{prefix}_{other.split('_', 2)[1]}_{secret}", f"{prefix}__{secret}", f"{prefix}_{key_id}", f"{key}{'x' * 500}",
        "csk", "_", "csk_x_y", f"{prefix}_{key_id}_{secret.swapcase()}",
    ):  # fmt: skip
        assert_problem(await api.client({"x-api-key": wrong}).get("/api/v1/auth/me"), 401, "unauthenticated")
    odd = await api.client({}).get("/api/v1/auth/me", headers=[(b"x-api-key", f"{key}ñ".encode("latin-1"))])
    assert_problem(odd, 401, "unauthenticated")


async def test_a_wrong_key_is_refused_even_beside_a_good_token(api: Api) -> None:
    admin = await api.client_for("ADMIN")
    assert_problem(await admin.get("/api/v1/auth/me", headers={"x-api-key": "wrong"}), 401, "unauthenticated")


async def test_when_a_key_was_used_last_is_noted(api: Api) -> None:
    clock: TestClock = with_clock(api)
    key = await make_key(api, "leads:read")
    client = api.client({"x-api-key": key["key"]})

    async def last_used() -> datetime | None:
        text = (await api.get("/api/v1/api-keys")).json()["data"][0]["lastUsedAt"]
        return datetime.fromisoformat(text) if text else None

    assert await last_used() is None
    await client.get("/api/v1/leads")
    first = await last_used()
    assert first is not None
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
    clock.now += FRESH_SECONDS
    await client.get("/api/v1/leads")
    second = await last_used()
    assert second is not None
    assert second > first


async def test_a_key_ends_at_its_time_to_the_second(api: Api, sql: Any) -> None:
    clock: TestClock = with_clock(api)
    soon = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    client = api.client({"x-api-key": (await make_key(api, "leads:read", expiresAt=soon))["key"]})
    assert (await client.get("/api/v1/leads")).status_code == 200
    await sql("UPDATE api_keys SET expires_at = now()")
    # It was seen just now and would be believed for longer, had it no end of its own.
    clock.now += 5.1
    assert_problem(await client.get("/api/v1/leads"), 401, "unauthenticated")


async def test_a_deleted_key_is_out_of_force_within_thirty_seconds(api: Api) -> None:
    clock: TestClock = with_clock(api)
    key = await make_key(api, "leads:read")
    client = api.client({"x-api-key": key["key"]})
    assert (await client.get("/api/v1/leads")).status_code == 200
    assert (await api.delete(f"/api/v1/api-keys/{key['id']}")).status_code == 204
    clock.now += FRESH_SECONDS
    assert_problem(await client.get("/api/v1/leads"), 401, "unauthenticated")
    assert_problem(await api.delete(f"/api/v1/api-keys/{key['id']}"), 404, "api_key_not_found")
    assert (await api.get("/api/v1/api-keys")).json() == {"data": []}


@pytest.mark.parametrize("key_id", ["01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f", "not-a-uuid"])
async def test_deleting_what_is_not_there_is_not_found(api: Api, key_id: str) -> None:
    assert_problem(await api.delete(f"/api/v1/api-keys/{key_id}"), 404)


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": []},
        {"scopes": ["leads:*"]},
        {"scopes": ["ADMIN"]},
        {"scopes": "leads:read"},
        {"scopes": None},
        {"name": ""},
        {"name": "   "},
        {"name": "x" * 256},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"expiresAt": "2040-01-01T00:00:00"},
        {"expiresAt": "9999-12-31T23:59:59-12:00"},
        {"expiresAt": "tomorrow"},
        {"key": "chosen by me"},
    ],
)
async def test_what_does_not_fit_is_refused(api: Api, change: dict[str, Any]) -> None:
    body = {"name": "x", "scopes": ["leads:read"]} | change
    assert_problem(await api.post("/api/v1/api-keys", json=body), 422, "validation_failed")


async def test_the_last_moment_of_the_calendar_is_a_time_like_any(api: Api) -> None:
    made = await make_key(api, "leads:read", expiresAt="9999-12-31T23:59:59Z")
    assert made["expiresAt"] == "9999-12-31T23:59:59Z"


async def test_keys_survive_a_rotated_secret_once_they_were_used_meanwhile(make_api: Any) -> None:
    before = {"jwt_secret": "a" * 40}
    key = (await make_key(await make_api(**before), "leads:read"))["key"]
    during = await make_api(jwt_secret="b" * 40, jwt_secret_previous="a" * 40)
    assert (await during.client({"x-api-key": key}).get("/api/v1/leads")).status_code == 200
    after = await make_api(jwt_secret="b" * 40)
    assert (await after.client({"x-api-key": key}).get("/api/v1/leads")).status_code == 200
    assert (
        await (await make_api(jwt_secret="c" * 40)).client({"x-api-key": key}).get("/api/v1/leads")
    ).status_code == 401
