"""PostgreSQL away: a clear 503 at once, and service again when it is back."""

import time
from collections.abc import AsyncIterator

import pytest
from api_testkit import Api, assert_problem, make_lead, new_lead, open_api, until

from contactship_devstack.postgres import PostgresServer
from contactship_devstack.template import migrated_database

LEADS = "/api/v1/leads"


@pytest.fixture
async def hurt_api(own_postgres: PostgresServer, redis_url: str) -> AsyncIterator[Api]:
    url = migrated_database(own_postgres)
    async with open_api(database_url=url, redis_url=redis_url, db_pool_timeout=1.0) as api:
        yield api


async def test_without_postgresql_every_call_is_503_and_afterwards_all_is_well(
    hurt_api: Api, own_postgres: PostgresServer
) -> None:
    lead = await make_lead(hurt_api)
    agent = await hurt_api.client_for()
    path = f"{LEADS}/{lead['id']}"
    cached = await hurt_api.get(path)
    await agent.get(path)
    own_postgres.stop()
    for call in (
        hurt_api.get(LEADS),
        hurt_api.post(LEADS, json=new_lead(), headers={"idempotency-key": "k"}),
        hurt_api.patch(path, json={"status": "lost"}),
        hurt_api.post(f"{path}/summarize"),
        hurt_api.get("/api/v1/tasks/01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f?wait=5"),
        hurt_api.anonymous.post("/auth/login", json={"email": "a@example.com", "password": "x"}),
    ):
        started = time.monotonic()
        assert_problem(await call, 503, "database_unavailable")
        assert time.monotonic() - started < 3
    assert (await hurt_api.get(path)).content == cached.content, "what is cached can still be read"
    assert (await agent.get(path)).status_code == 200, "a token that was seen a moment ago is believed"
    health = await hurt_api.anonymous.get("/health/readiness")
    assert (health.status_code, health.json()["status"]) == (503, "error")
    assert (await hurt_api.anonymous.get("/health/liveness")).status_code == 200
    assert_problem(await hurt_api.post(LEADS, json={"email": "x"}), 422)
    own_postgres.start()

    async def made() -> bool:
        return (await hurt_api.post(LEADS, json=new_lead(), headers={"idempotency-key": "k2"})).status_code == 201

    await until(made, "a lead to be made again")
    assert (await hurt_api.anonymous.get("/health/readiness")).status_code == 200


async def test_connections_that_were_cut_meanwhile_are_replaced(hurt_api: Api, own_postgres: PostgresServer) -> None:
    for _ in range(3):
        await make_lead(hurt_api)
        own_postgres.restart()
        answer = await hurt_api.get(LEADS)
        if answer.status_code != 200:
            assert_problem(answer, 503, "database_unavailable")
        assert (await hurt_api.get(LEADS)).status_code == 200
