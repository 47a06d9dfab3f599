"""How many requests a caller may make."""

from typing import Any

import pytest
from api_testkit import MakeApi, assert_problem, make_lead

from contactship_common import metrics

LEADS = "/api/v1/leads"
LIMIT_HEADERS = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}


async def test_every_answer_says_what_is_left_errors_too(make_api: MakeApi) -> None:
    api = await make_api(rate_limit_max=50)
    answers = [
        await api.get(LEADS),
        await api.post(LEADS, json={}),
        await api.post(LEADS, content=b"{", headers={"content-type": "application/json"}),
        await api.get(f"{LEADS}/unknown"),
        await api.get(f"{LEADS}?take=0"),
    ]
    assert [int(answer.headers["ratelimit-remaining"]) for answer in answers] == [49, 48, 47, 46, 45]
    by_address = [
        await api.anonymous.get(LEADS),
        await api.anonymous.get("/nowhere"),
        await api.anonymous.put(LEADS),
        await api.anonymous.post("/auth/login", json={"email": "a@b.c", "password": "x"}),
    ]
    assert [answer.status_code for answer in by_address] == [401, 404, 405, 401]
    assert [int(answer.headers["ratelimit-remaining"]) for answer in by_address] == [49, 48, 47, 46]
    for answer in (*answers, *by_address):
        assert answer.headers["ratelimit-limit"] == "50"
        assert 1 <= int(answer.headers["ratelimit-reset"]) <= 60


async def test_one_too_many_is_429_and_other_callers_go_on(make_api: MakeApi) -> None:
    api = await make_api(rate_limit_max=3)
    agent = await api.client_for()
    for _ in range(3):
        assert (await agent.get(LEADS)).status_code == 200
    body = assert_problem(answer := await agent.get(LEADS), 429, "rate_limited")
    assert answer.headers["ratelimit-remaining"] == "0"
    assert int(answer.headers["retry-after"]) <= 60
    assert body["status"] == 429
    assert (await api.get(LEADS)).status_code == 200
    assert_problem(await agent.post(LEADS, json={}), 429)


async def test_guessing_addresses_is_limited_as_well(make_api: MakeApi) -> None:
    api = await make_api(rate_limit_max=2)
    codes = [(await api.anonymous.get(f"/guess/{n}")).status_code for n in range(4)]
    assert codes == [404, 404, 429, 429]
    assert (await api.client({}, address="203.0.113.9").get("/guess")).status_code == 404


async def test_two_processes_count_together(make_api: MakeApi) -> None:
    first, second = await make_api(rate_limit_max=4), await make_api(rate_limit_max=4)
    codes = [(await api.get(LEADS)).status_code for api in (first, second) * 3]
    assert codes == [200, 200, 200, 200, 429, 429]


async def test_a_new_window_starts_afresh(make_api: MakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api = await make_api(rate_limit_max=1, rate_limit_ttl=60)
    assert (await api.get(LEADS)).status_code == 200
    assert_problem(await api.get(LEADS), 429)
    import time

    real = time.time
    monkeypatch.setattr("contactship_api.http.ratelimit.time.time", lambda: real() + 60)
    assert (await api.get(LEADS)).status_code == 200


async def test_health_and_metrics_are_never_counted(make_api: MakeApi) -> None:
    api = await make_api(rate_limit_max=1)
    for path in ("/health/liveness", "/health/readiness", "/health", "/ping", "/", "/metrics") * 2:
        answer = await api.anonymous.get(path)
        assert answer.status_code == 200
        assert not LIMIT_HEADERS & set(answer.headers)


async def test_without_redis_requests_pass_and_that_is_counted(make_api: MakeApi, valkey: Any) -> None:
    api = await make_api(rate_limit_max=1)
    lead = await make_lead(api)
    valkey.stop()
    before = metrics.RATE_LIMIT_OPEN._value.get()
    for _ in range(3):
        answer = await api.get(f"{LEADS}/{lead['id']}")
        assert answer.status_code == 200
        assert not LIMIT_HEADERS & set(answer.headers)
    assert metrics.RATE_LIMIT_OPEN._value.get() == before + 3


async def test_a_limit_of_zero_is_no_limit(make_api: MakeApi) -> None:
    api = await make_api(rate_limit_max=0)
    assert not LIMIT_HEADERS & set((await api.get(LEADS)).headers)


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("2001:db8::1", "2001:db8:ffff::9", "2001:db8:ffff::"),  # one subscriber, one /64 network
    ],
)
async def test_a_forwarded_address_is_believed_from_trusted_proxies_only(
    make_api: MakeApi, valkey: Any, peer: str, forwarded: str, counted: str
) -> None:
    api = await make_api(rate_limit_max=5, trusted_proxies=["10.0.0.0/8", "2001:db8::/48"])
    await api.client({"x-forwarded-for": forwarded}, address=peer).get("/nowhere")
    with valkey.client() as redis:
        [key] = redis.keys("cs:rate:*")
    assert key.decode().startswith(f"cs:rate:ip:{counted}:")


async def test_by_default_nobody_is_trusted(make_api: MakeApi, valkey: Any) -> None:
    api = await make_api(rate_limit_max=5)
    await api.client({"x-forwarded-for": "198.51.100.1"}).get("/nowhere")
    with valkey.client() as redis:
        assert [key.decode().split(":")[3] for key in redis.keys("cs:rate:*")] == ["127.0.0.1"]


async def test_a_read_counts_once_whether_or_not_it_comes_from_the_cache(make_api: MakeApi) -> None:
    api = await make_api(rate_limit_max=50)
    path = f"/api/v1/leads/{(await make_lead(api))['id']}"
    answers = [await api.get(path) for _ in range(3)]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit", "hit"]
    left = [int(answer.headers["ratelimit-remaining"]) for answer in answers]
    assert [left[0] - each for each in left] == [0, 1, 2]
