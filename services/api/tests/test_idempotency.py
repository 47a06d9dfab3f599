"""Idempotency-Key: one effect and one answer, whatever happens in between."""

import asyncio
from typing import Any

import psycopg
import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem, make_lead, new_lead

LEADS = "/api/v1/leads"
KEY = {"idempotency-key": "order-17"}


async def leads(sql: Sql) -> int:
    [row] = await sql("SELECT count(*) AS n FROM leads")
    return int(row["n"])


async def test_the_same_key_and_body_give_the_same_answer_once_more(api: Api, sql: Sql) -> None:
    body = new_lead()
    first = await api.post(LEADS, json=body, headers=KEY)
    again = await api.post(LEADS, json=body, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    for name in ("location", "etag", "content-type"):
        assert first.headers[name] == again.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert await leads(sql) == 1


async def test_an_older_path_and_ours_are_one_request(api: Api, sql: Sql) -> None:
    body = new_lead()
    await api.post("/create-lead", json=body, headers=KEY)
    assert (await api.post(LEADS, json=body, headers=KEY)).headers["idempotent-replayed"] == "true"
    assert await leads(sql) == 1


async def test_another_body_or_query_or_path_is_422(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    path = f"{LEADS}/{lead['id']}/summarize"
    assert (await api.post(path, headers=KEY)).status_code == 202
    for answer in (
        await api.post(f"{path}?force=true", headers=KEY),
        await api.post(LEADS, json=new_lead(), headers=KEY),
        await api.post(f"{LEADS}/summarize", json={"leadIds": [lead["id"]]}, headers=KEY),
    ):
        assert_problem(answer, 422, "idempotency_key_reused", not_shown="order-17")
    assert await leads(sql) == 1
    assert (await api.post(path, headers=KEY)).headers["idempotent-replayed"] == "true"


async def test_an_accepted_task_is_replayed_with_its_headers(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    path = f"{LEADS}/{lead['id']}/summarize?force=true"
    first, again = [await api.post(path, headers=KEY) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["retry-after"] == first.headers["retry-after"]
    assert len(await sql("SELECT 1 FROM tasks")) == 1


async def test_of_fifty_at_once_one_acts_and_the_others_wait_their_turn(api: Api, sql: Sql) -> None:
    body = new_lead()
    answers = await asyncio.gather(*(api.post(LEADS, json=body, headers=KEY) for _ in range(50)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert made
    assert len({answer.json()["id"] for answer in made}) == 1
    assert len([answer for answer in made if "idempotent-replayed" not in answer.headers]) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert_problem(answer, 409, "idempotency_in_progress")
    assert await leads(sql) == 1


async def test_a_refusal_is_kept_with_its_request_id(api: Api) -> None:
    lead = await make_lead(api)
    body = new_lead(email=lead["email"])
    first = await api.post(LEADS, json=body, headers=KEY)
    assert_problem(first, 409, "lead_email_taken")
    await api.delete(f"{LEADS}/{lead['id']}")
    again = await api.post(LEADS, json=body, headers=KEY)
    assert (again.status_code, again.content) == (409, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"


async def test_a_refusal_by_the_database_is_kept_as_well(api: Api) -> None:
    lead = await make_lead(api, externalId="crm-1")
    body = new_lead(externalId="crm-1")
    assert_problem(await api.post(LEADS, json=body, headers=KEY), 409, "lead_external_id_taken")
    await api.delete(f"{LEADS}/{lead['id']}")
    assert (await api.post(LEADS, json=body, headers=KEY)).headers["idempotent-replayed"] == "true"


async def test_a_body_that_was_never_acceptable_does_not_use_up_the_key(api: Api) -> None:
    assert_problem(await api.post(LEADS, json=new_lead(email="x"), headers=KEY), 422, "validation_failed")
    assert (await api.post(LEADS, json=new_lead(), headers=KEY)).status_code == 201


async def test_a_rate_limited_answer_is_not_kept(make_api: MakeApi, valkey: Any) -> None:
    api = await make_api(rate_limit_max=1)
    await api.get(LEADS)
    body = new_lead()
    assert_problem(await api.post(LEADS, json=body, headers=KEY), 429, "rate_limited")
    valkey.flush()
    assert (await api.post(LEADS, json=body, headers=KEY)).status_code == 201


async def test_a_failure_of_ours_is_not_kept(api: Api, sql: Sql) -> None:
    await sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '40001'; END $$")
    await sql("CREATE TRIGGER t BEFORE INSERT ON leads FOR EACH ROW EXECUTE FUNCTION refuse()")
    body = new_lead()
    assert_problem(await api.post(LEADS, json=body, headers=KEY), 503, "unavailable")
    await sql("DROP TRIGGER t ON leads")
    answer = await api.post(LEADS, json=body, headers=KEY)
    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers


async def test_a_key_belongs_to_its_caller(api: Api, sql: Sql) -> None:
    agent = await api.client_for()
    first = await api.post(LEADS, json=new_lead(), headers=KEY)
    second = await agent.post(LEADS, json=new_lead(), headers=KEY)
    assert second.status_code == 201
    assert first.json()["id"] != second.json()["id"]


async def test_whoever_lost_the_right_gets_no_replay(api: Api, sql: Sql) -> None:
    agent = await api.client_for()
    body = new_lead()
    assert (await agent.post(LEADS, json=body, headers=KEY)).status_code == 201
    await sql("UPDATE users SET active = false")
    api.gateway.authenticator._known.clear()
    assert_problem(await agent.post(LEADS, json=body, headers=KEY), 401)
    assert_problem(await api.anonymous.post(LEADS, json=body, headers=KEY), 401)


async def test_a_transaction_that_dies_leaves_no_marker(api: Api, sql: Sql, database_url: str) -> None:
    """As after kill -9: the server ends the session, and with it the lock and everything it had written."""
    body = new_lead()
    async with await psycopg.AsyncConnection.connect(database_url) as blocker:
        await blocker.execute("LOCK TABLE lead_events IN ACCESS EXCLUSIVE MODE")
        client = api.client(dict(api.root.headers), raise_errors=False)
        held = asyncio.create_task(client.post(LEADS, json=body, headers=KEY))
        while not (
            killed := await sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock' "
                "AND query LIKE 'INSERT INTO lead_events%%'"
            )
        ):
            in_progress = await api.post(LEADS, json=body, headers=KEY) if await leads(sql) else None
            assert in_progress is None or in_progress.status_code == 409
        assert killed
        assert_problem(await held, 503, "database_unavailable")
        await blocker.rollback()
    assert await leads(sql) == 0
    answer = await api.post(LEADS, json=body, headers=KEY)
    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers


async def test_while_the_first_runs_a_second_is_409(api: Api, sql: Sql, database_url: str) -> None:
    body = new_lead()
    async with await psycopg.AsyncConnection.connect(database_url) as blocker:
        await blocker.execute("LOCK TABLE lead_events IN ACCESS EXCLUSIVE MODE")
        held = asyncio.create_task(api.post(LEADS, json=body, headers=KEY))
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'lead_events'::regclass"
        while not await sql(waiting):
            pass
        assert_problem(await api.post(LEADS, json=body, headers=KEY), 409, "idempotency_in_progress")
        await blocker.rollback()
    assert (await held).status_code == 201


async def test_after_a_day_the_key_is_free_again(api: Api, sql: Sql) -> None:
    await api.post(LEADS, json=new_lead(), headers=KEY)
    await sql("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    body = new_lead()
    assert (await api.post(LEADS, json=body, headers=KEY)).status_code == 201
    assert (await api.post(LEADS, json=body, headers=KEY)).headers["idempotent-replayed"] == "true"
    assert await leads(sql) == 2


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_other_methods_ignore_the_header(shared_api: Api, method: str) -> None:
    lead = await make_lead(shared_api)
    body = {"json": {"status": "lost"}} if method == "PATCH" else {}
    for _ in range(2):
        answer = await shared_api.request(method, f"{LEADS}/{lead['id']}", headers=KEY, **body)
        assert "idempotent-replayed" not in answer.headers
