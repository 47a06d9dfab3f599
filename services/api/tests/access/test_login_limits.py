"""How often somebody may try, and that nobody can lock out somebody else."""

import asyncio
import time
from typing import Any

import pytest
from access_testkit import bearer, log_in
from api_testkit import Api, assert_problem
from api_testkit.api import PASSWORD

from contactship_api.http.login_limits import network_of
from contactship_devstack.valkey import ValkeyServer

EMAIL = "agent@example.com"


async def attempt(api: Api, password: str = "wrong", *, address: str = "203.0.113.1", email: str = EMAIL) -> Any:
    client = api.client({}, address=address)
    return await client.post("/api/v1/auth/login", json={"email": email, "password": password})


async def statuses(api: Api, tries: int, **how: Any) -> list[int]:
    return [(await attempt(api, **how)).status_code for _ in range(tries)]


async def test_an_account_takes_so_many_failures_from_one_address(make_api: Any) -> None:
    api = await make_api(login_limit_per_account=3)
    await api.make_user(EMAIL)
    assert await statuses(api, 4) == [401, 401, 401, 429]
    refused = await attempt(api, PASSWORD)
    assert_problem(refused, 429, "rate_limited")
    assert 800 < int(refused.headers["retry-after"]) <= 901
    assert (await attempt(api, email="other@example.com")).status_code == 401
    # The same account, however it is written.
    assert (await attempt(api, email=" AGENT@Example.com ")).status_code == 429


async def test_a_stranger_who_guesses_locks_out_only_themselves(make_api: Any) -> None:
    api = await make_api(login_limit_per_account=3)
    await api.make_user(EMAIL)
    assert 429 in await statuses(api, 5, address="198.51.100.7")
    assert (await attempt(api, PASSWORD, address="203.0.113.1")).status_code == 200
    assert (await attempt(api, PASSWORD, address="198.51.100.7")).status_code == 429


async def test_guessing_from_many_addresses_is_limited_but_not_for_addresses_the_account_knows(make_api: Any) -> None:
    api = await make_api(login_limit_per_account=2)
    await api.make_user(EMAIL)
    assert (await attempt(api, PASSWORD, address="203.0.113.1")).status_code == 200
    tries = [(await attempt(api, address=f"198.51.100.{n}")).status_code for n in range(25)]
    assert tries == [401] * 19 + [429] * 6, "the first good login has counted as well"
    assert (await attempt(api, PASSWORD, address="203.0.113.1")).status_code == 200
    assert (await attempt(api, email="other@example.com", address="198.51.100.30")).status_code == 401


async def test_parallel_guesses_do_not_slip_past_the_limit(make_api: Any) -> None:
    api = await make_api(login_limit_per_account=5)
    await api.make_user(EMAIL)
    answers = await asyncio.gather(*(attempt(api) for _ in range(30)))
    assert sorted(a.status_code for a in answers) == [401] * 5 + [429] * 25


async def test_a_good_login_forgets_the_failures_before_it(make_api: Any) -> None:
    api = await make_api(login_limit_per_account=3)
    await api.make_user(EMAIL)
    for _ in range(4):
        assert await statuses(api, 2) == [401, 401]
        assert (await attempt(api, PASSWORD)).status_code == 200


async def test_an_address_is_limited_over_all_accounts(make_api: Any) -> None:
    api = await make_api(login_limit_per_address=4)
    answers = [await attempt(api, email=f"u{n}@example.com") for n in range(6)]
    assert [a.status_code for a in answers] == [401] * 4 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 61
    assert (await attempt(api, address="203.0.113.2")).status_code == 401
    # Registration counts on the same limit, so that it cannot be used to fill the machine with hashing.
    body = {"email": "new@example.com", "password": PASSWORD}
    answer = await api.client({}, address="203.0.113.1").post("/api/v1/auth/register", json=body)
    assert_problem(answer, 429, "rate_limited")


async def test_two_processes_count_together(make_api: Any) -> None:
    one, two = await make_api(login_limit_per_account=3), await make_api(login_limit_per_account=3)
    await one.make_user(EMAIL)
    assert await statuses(one, 2) + await statuses(two, 3) == [401, 401, 401, 429, 429]


@pytest.mark.parametrize("fault", ["stopped", "frozen"])
async def test_while_redis_is_away_each_process_counts_for_itself(
    make_api: Any, valkey: ValkeyServer, fault: str
) -> None:
    api = await make_api(login_limit_per_account=3, db_pool_timeout=10.0)
    await api.make_user(EMAIL)
    if fault == "stopped":
        await asyncio.to_thread(valkey.stop)
    else:
        valkey.freeze()
    started = time.monotonic()
    assert await statuses(api, 5) == [401, 401, 401, 429, 429]
    assert (await attempt(api, PASSWORD, address="203.0.113.2")).status_code == 200
    assert time.monotonic() - started < 3.0
    valkey.thaw()
    await asyncio.to_thread(valkey.start)


async def test_in_memory_too_a_good_login_forgets_the_failures_before_it(make_api: Any, redis_url: str) -> None:
    api = await make_api(login_limit_per_account=3, redis_url="", broker_url=redis_url)
    await api.make_user(EMAIL)
    for _ in range(3):
        assert await statuses(api, 2) == [401, 401]
        assert (await attempt(api, PASSWORD)).status_code == 200
    assert await statuses(api, 4) == [401, 401, 401, 429]


async def test_guessing_at_the_current_password_is_limited(make_api: Any) -> None:
    api = await make_api(login_limit_per_account=3)
    await api.make_user(EMAIL)
    client = bearer(api, (await log_in(api, EMAIL))["token"])
    body = {"currentPassword": "wrong", "newPassword": "another password"}
    tries = [(await client.post("/api/v1/auth/change-password", json=body)).status_code for _ in range(5)]
    assert tries == [422, 422, 422, 429, 429]


async def test_an_address_a_client_claims_is_not_believed(make_api: Any) -> None:
    api = await make_api(login_limit_per_account=3)
    await api.make_user(EMAIL)
    tries = []
    for n in range(5):
        client = api.client({"x-forwarded-for": f"198.51.100.{n}"})
        body = {"email": EMAIL, "password": "wrong"}
        tries.append((await client.post("/api/v1/auth/login", json=body)).status_code)
    assert tries == [401, 401, 401, 429, 429]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.1", "203.0.113.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
        ("fe80::1%eth0", "fe80::"),
        ("unknown", "unknown"),
    ],
)
def test_a_subscribers_ipv6_network_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
