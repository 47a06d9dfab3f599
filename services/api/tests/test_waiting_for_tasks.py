"""GET /tasks/{id}?wait=N."""

import asyncio
import time

import pytest
from api_testkit import Api, MakeApi, assert_problem, end_task, make_lead, run_tasks, start_task, until

from contactship_devstack.valkey import ValkeyServer

TASKS = "/api/v1/tasks"


async def summarize(api: Api) -> str:
    lead = await make_lead(api)
    task_id: str = (await api.post(f"/api/v1/leads/{lead['id']}/summarize")).json()["taskId"]
    return task_id


async def ready_to_wait(api: Api) -> str:
    await until(lambda: api.gateway.waiter.connected, "the subscription")
    return await summarize(api)


async def held(api: Api, count: int = 1) -> None:
    await until(lambda: sum(map(len, api.gateway.waiter._waiting.values())) == count, "held answers")


@pytest.mark.parametrize("asked", [{"params": {"wait": 25}}, {"headers": {"prefer": "respond-async, wait=25"}}])
async def test_a_held_answer_comes_as_soon_as_the_task_ends(api: Api, asked: dict[str, dict[str, str]]) -> None:
    task = await ready_to_wait(api)
    waiting = asyncio.create_task(api.get(f"{TASKS}/{task}", **asked))  # type: ignore[arg-type]
    await held(api)
    await run_tasks(api, task)
    ended = time.monotonic()
    answer = await waiting
    assert answer.json()["status"] == "completed"
    assert time.monotonic() - ended < 1.0, "by the announcement, not by the next look"


async def test_an_ended_task_and_no_wait_are_answered_at_once(api: Api) -> None:
    task = await summarize(api)
    for asked in ("", "?wait=0"):
        assert (await api.get(f"{TASKS}/{task}{asked}")).json()["status"] == "queued"
    await run_tasks(api, task)
    assert (await api.get(f"{TASKS}/{task}?wait=30")).json()["status"] == "completed"


async def test_a_wait_that_is_over_shows_the_task_as_it_is(api: Api) -> None:
    task = await ready_to_wait(api)
    started = time.monotonic()
    assert (await api.get(f"{TASKS}/{task}?wait=1")).json()["status"] == "queued"
    assert 0.9 < time.monotonic() - started < 5


@pytest.mark.parametrize("wait", ["31", "-1", "x", "1.5", ""])
async def test_more_than_thirty_seconds_are_refused(shared_api: Api, wait: str) -> None:
    task = await summarize(shared_api)
    assert_problem(await shared_api.get(f"{TASKS}/{task}?wait={wait}"), 422)


@pytest.mark.parametrize("prefer", ["wait=0", "wait=abc", "", "handling=lenient", "wait=-5", "await=9"])
async def test_a_preference_that_says_nothing_useful_is_ignored(shared_api: Api, prefer: str) -> None:
    task = await summarize(shared_api)
    assert (await shared_api.get(f"{TASKS}/{task}", headers={"prefer": prefer})).status_code == 200


async def test_an_unknown_task_is_404_at_once(shared_api: Api) -> None:
    path = f"{TASKS}/01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f?wait=30"
    assert_problem(await shared_api.get(path), 404, "task_not_found")


async def test_fifty_held_answers_hold_no_connection(make_api: MakeApi) -> None:
    api = await make_api(db_pool_size=2)
    task = await ready_to_wait(api)
    run = await start_task(api, task)
    waiting = [asyncio.create_task(api.get(f"{TASKS}/{task}?wait=20")) for _ in range(50)]
    await held(api, 50)
    await until(lambda: api.gateway.runtime.db.engine.pool.checkedout() == 0, "free connections")  # type: ignore[attr-defined]
    assert (await api.get("/api/v1/leads")).status_code == 200
    await end_task(api, run)
    answers = await asyncio.gather(*waiting)
    assert {answer.json()["status"] for answer in answers} == {"completed"}
    await held(api, 0)


@pytest.mark.parametrize("hurt", ["stop", "freeze"])
async def test_without_redis_a_held_answer_looks_once_a_second(
    make_api: MakeApi, valkey: ValkeyServer, hurt: str
) -> None:
    api = await make_api()
    task = await ready_to_wait(api)
    run = await start_task(api, task)
    waiting = asyncio.create_task(api.get(f"{TASKS}/{task}?wait=25"))
    await held(api)
    getattr(valkey, hurt)()
    await until(lambda: not api.gateway.waiter.connected, "the loss to be noticed", seconds=5)
    await end_task(api, run)
    ended = time.monotonic()
    assert (await waiting).json()["status"] == "completed"
    assert time.monotonic() - ended < 2.5


async def test_the_subscription_comes_back_with_redis(make_api: MakeApi, valkey: ValkeyServer) -> None:
    api = await make_api()
    await until(lambda: api.gateway.waiter.connected, "the subscription")
    valkey.restart()
    await until(lambda: not api.gateway.waiter.connected, "the loss to be noticed")
    await until(lambda: api.gateway.waiter.connected, "the subscription again")
    task = await summarize(api)
    waiting = asyncio.create_task(api.get(f"{TASKS}/{task}?wait=25"))
    await held(api)
    await api.delete(f"{TASKS}/{task}")
    async with asyncio.timeout(5):
        assert (await waiting).json()["status"] == "cancelled"
