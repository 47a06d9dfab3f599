"""Two API processes: what one of them is told is in force in both within 30 s."""

from typing import Any

import pytest
from access_testkit import TestClock, bearer, log_in, make_key, me, refresh, with_clock
from api_testkit import Api

from contactship_api.access.authenticate import FRESH_SECONDS

EMAIL = "agent@example.com"


@pytest.fixture
async def two(make_api: Any) -> tuple[Api, Api]:
    return await make_api(), await make_api()


def test_what_is_remembered_is_looked_at_again_well_within_thirty_seconds() -> None:
    assert FRESH_SECONDS <= 25


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("deactivated", "UPDATE users SET active = false"),
        ("another role", "UPDATE users SET role = 'ADMIN'"),
        ("deleted", "DELETE FROM users"),
        ("logged out", "UPDATE token_families SET revoked_at = now()"),
    ],
)
async def test_access_ends_in_every_process(two: tuple[Api, Api], sql: Any, what: str, statement: str) -> None:
    clocks: list[TestClock] = [with_clock(api) for api in two]
    await two[0].make_user(EMAIL)
    token = (await log_in(two[0], EMAIL))["token"]
    assert [await me(api, token) for api in two] == [200, 200]
    await sql(statement)
    for clock in clocks:
        clock.now += FRESH_SECONDS
    assert [await me(api, token) for api in two] == [401, 401]


async def test_an_administrator_in_one_process_ends_access_in_the_other(two: tuple[Api, Api]) -> None:
    here, there = two
    clocks = [with_clock(api) for api in two]
    user_id = await here.make_user(EMAIL)
    login = await log_in(there, EMAIL)
    assert [await me(api, login["token"]) for api in two] == [200, 200]
    assert (await here.patch(f"/api/v1/users/{user_id}", json={"active": False})).status_code == 200
    assert (await refresh(there, login["refresh_token"])).status_code == 401, "a refresh always looks"
    for clock in clocks:
        clock.now += FRESH_SECONDS
    assert [await me(api, login["token"]) for api in two] == [401, 401]


async def test_a_deleted_key_ends_in_both(two: tuple[Api, Api]) -> None:
    here, there = two
    clock = with_clock(there)
    key = await make_key(here, "leads:read")
    client = there.client({"x-api-key": key["key"]})
    assert (await client.get("/api/v1/leads")).status_code == 200
    await here.delete(f"/api/v1/api-keys/{key['id']}")
    clock.now += FRESH_SECONDS
    assert (await client.get("/api/v1/leads")).status_code == 401


async def test_what_was_seen_is_not_asked_again_each_time(api: Api, sql: Any) -> None:
    with_clock(api)
    await api.make_user(EMAIL)
    client = bearer(api, (await log_in(api, EMAIL))["token"])
    await client.get("/api/v1/auth/me")
    await sql("UPDATE users SET active = false")
    # Nothing reads the account here; it is the price of a query less a request, for at most a quarter of a minute.
    assert (await client.get("/api/v1/leads")).status_code == 200
