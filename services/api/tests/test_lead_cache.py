"""The cached copy of a lead is never older than the last change, in any process."""

import asyncio
import os
import time

import httpx
import pytest
from api_testkit import Api, MakeApi, make_lead, new_lead

from contactship_devstack.testing import StackFactory
from contactship_devstack.valkey import ValkeyServer

LEADS = "/api/v1/leads"
ROUNDS = 10_000 if os.environ.get("CONTACTSHIP_LONG_TESTS") else 200


async def test_the_header_says_where_an_answer_came_from(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    path = f"{LEADS}/{lead['id']}"
    answers = [await shared_api.get(path) for _ in range(3)]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit", "hit"]
    assert len({answer.content for answer in answers}) == 1
    await shared_api.patch(path, json={"status": "lost"})
    assert (await shared_api.get(path)).headers["x-cache"] == "miss"


async def test_a_ttl_of_zero_switches_it_off(make_api: MakeApi) -> None:
    api = await make_api(default_cache_ttl=0)
    lead = await make_lead(api)
    for _ in range(2):
        assert (await api.get(f"{LEADS}/{lead['id']}")).headers["x-cache"] == "miss"


async def test_copies_end_at_the_ttl_in_seconds(make_api: MakeApi, valkey: ValkeyServer) -> None:
    api = await make_api(default_cache_ttl=77)
    lead = await make_lead(api)
    await api.get(f"{LEADS}/{lead['id']}")
    with valkey.client() as redis:
        assert 70 < redis.ttl(f"cs:lead:{lead['id']}") <= 77  # type: ignore[operator]


async def test_a_cached_lead_still_needs_the_right_to_read_it(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    await shared_api.get(f"{LEADS}/{lead['id']}")
    assert (await shared_api.anonymous.get(f"{LEADS}/{lead['id']}")).status_code == 401


async def test_older_and_stranger_spellings_of_an_id_share_the_copy(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    await shared_api.get(f"{LEADS}/{lead['id']}")
    shouted = await shared_api.get(f"{LEADS}/{lead['id'].upper()}")
    assert (shouted.status_code, shouted.headers["x-cache"]) == (200, "hit")


@pytest.mark.parametrize("hurt", ["stop", "freeze"])
async def test_without_redis_leads_are_read_made_and_changed_within_a_second(
    make_api: MakeApi, valkey: ValkeyServer, hurt: str
) -> None:
    api = await make_api(rate_limit_max=1_000)
    lead = await make_lead(api)
    path = f"{LEADS}/{lead['id']}"
    await api.get(path)
    getattr(valkey, hurt)()
    calls = [
        lambda: api.get(path),
        lambda: api.post(LEADS, json=new_lead()),
        lambda: api.patch(path, json={"status": "qualified"}),
        lambda: api.get(path),
        lambda: api.post(f"{path}/summarize"),
        lambda: api.delete(path),
    ]
    for call in calls * 2:
        started = time.monotonic()
        answer = await call()
        assert time.monotonic() - started < 1.0
        assert answer.status_code in (200, 201, 202, 204, 404)


@pytest.mark.system
async def test_through_two_processes_a_change_that_was_answered_is_seen_by_every_later_read(
    make_stack: StackFactory,
) -> None:
    stack = make_stack("api", "api")
    headers = {"x-api-key": stack.api_key}
    async with httpx.AsyncClient(headers=headers, timeout=30) as client:
        one, two = (f"{url}{LEADS}" for url in stack.api_urls)
        lead = (await client.post(one, json=new_lead())).json()["id"]
        seen_from_cache = 0
        for n in range(ROUNDS):
            there, here = (one, two) if n % 2 else (two, one)
            # Readers of both processes fill the cache at the worst moments.
            changed, *_ = await asyncio.gather(
                client.patch(f"{there}/{lead}", json={"firstName": f"Name {n}"}),
                client.get(f"{one}/{lead}"),
                client.get(f"{two}/{lead}"),
            )
            assert changed.status_code == 200
            read = await client.get(f"{here}/{lead}")
            assert read.json()["person"]["firstName"] == f"Name {n}", f"an old value in round {n}"
            assert read.headers["etag"] == changed.headers["etag"]
            again = await client.get(f"{there}/{lead}")
            assert again.content == read.content
            seen_from_cache += again.headers["x-cache"] == "hit"
    assert seen_from_cache, "the readers never filled the cache: this tested nothing"
