"""/sync: who may start runs and read them, and what the answers hold."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from api_testkit import Api, assert_problem

from contactship_devstack.testing import Sql

MakeApi = Callable[..., Awaitable[Api]]

TRIGGER, JOBS, SOURCES = "/api/v1/sync/trigger", "/api/v1/sync/jobs", "/api/v1/sync/sources"
FURTHER = """{
    "crm": {"type": "http_json", "url": "https://crm.example.com", "cron": "@weekly", "batchSize": 500},
    "old": {"type": "http_json", "cron": "off"}
}"""


async def end_jobs(sql: Sql) -> None:
    await sql("UPDATE sync_jobs SET status = 'completed', completed_at = now()")


async def test_a_trigger_answers_with_the_job_and_its_task(api: Api) -> None:
    answer = await api.post(TRIGGER, json={"source": "randomuser", "batchSize": 25})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["source"], job["status"], job["batchSize"], job["errors"]) == ("randomuser", "pending", 25, [])
    assert [job[f"records{name}"] for name in ("Processed", "Created", "Skipped", "Failed")] == [0, 0, 0, 0]
    assert job["createdAt"].endswith("Z")
    assert answer.headers["location"] == f"/api/v1/tasks/{job['taskId']}"
    assert int(answer.headers["retry-after"]) >= 1
    task = (await api.get(answer.headers["location"])).json()
    assert (task["kind"], task["status"], task["subjectId"]) == ("sync.fetch", "queued", job["id"])
    shown = (await api.get(task["links"]["subject"])).json()
    assert (shown["id"], shown["leadIds"]) == (job["id"], [])


@pytest.mark.parametrize("body", [{"json": {}}, {}, {"json": {"batch_size": 10}}])
async def test_everything_in_the_body_may_be_left_out(api: Api, body: dict[str, Any]) -> None:
    job = (await api.post(TRIGGER, **body)).json()
    assert (job["source"], job["batchSize"]) == ("randomuser", 10)


async def test_triggers_at_once_give_the_same_run(api: Api, sql: Sql) -> None:
    answers = await asyncio.gather(*(api.post(TRIGGER) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({(answer.json()["id"], answer.json()["taskId"]) for answer in answers}) == 1
    await end_jobs(sql)
    assert (await api.post(TRIGGER)).json()["id"] != answers[0].json()["id"]


async def test_an_unknown_source_is_a_422_with_a_code(api: Api) -> None:
    assert_problem(await api.post(TRIGGER, json={"source": "nothing"}), 422, "source_not_found")


@pytest.mark.parametrize(
    "body", [{"batchSize": 0}, {"batchSize": 5_001}, {"batchSize": "x"}, {"source": 7}, {"sources": "randomuser"}]
)
async def test_wrong_bodies_are_refused(api: Api, sql: Sql, body: dict[str, Any]) -> None:
    assert_problem(await api.post(TRIGGER, json=body), 422, "validation_failed")
    assert await sql("SELECT 1 FROM sync_jobs") == []


async def test_the_same_idempotency_key_gives_the_same_answer(api: Api, sql: Sql) -> None:
    first = await api.post(TRIGGER, headers={"idempotency-key": "k"})
    await end_jobs(sql)
    second = await api.post(TRIGGER, headers={"idempotency-key": "k"})
    assert second.headers["idempotent-replayed"] == "true"
    assert first.json() == second.json()


async def test_sales_agents_and_strangers_may_do_none_of_it(api: Api) -> None:
    job = (await api.post(TRIGGER)).json()
    agent = await api.client_for("SALES_AGENT")
    for method, path in (("POST", TRIGGER), ("GET", JOBS), ("GET", f"{JOBS}/{job['id']}"), ("GET", SOURCES)):
        assert_problem(await agent.request(method, path), 403, "forbidden")
        assert_problem(await api.anonymous.request(method, path), 401, "unauthenticated")
    assert_problem(await agent.get(f"/api/v1/tasks/{job['taskId']}"), 404, "task_not_found")


async def test_a_key_with_the_right_to_sync_may_do_all_of_it(api: Api) -> None:
    made = await api.post("/api/v1/api-keys", json={"name": "n8n", "scopes": ["sync:run"]})
    machine = api.client({"x-api-key": made.json()["key"]})
    job = (await machine.post(TRIGGER)).json()
    for path in (JOBS, f"{JOBS}/{job['id']}", SOURCES, f"/api/v1/tasks/{job['taskId']}"):
        assert (await machine.get(path)).status_code == 200


async def test_jobs_are_listed_newest_first_and_walked_by_cursor(api: Api, sql: Sql) -> None:
    made = []
    for _ in range(5):
        made.append((await api.post(TRIGGER)).json()["id"])
        await end_jobs(sql)
    walked: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get(JOBS, params=query)).json()
        walked += [job["id"] for job in page["data"]]
        if not page["meta"]["hasNextPage"]:
            break
        query["cursor"] = page["meta"]["nextCursor"]
    assert walked == made[::-1]
    assert page["meta"]["nextCursor"] is None
    assert_problem(await api.get(JOBS, params={"cursor": "x"}), 400, "bad_cursor")
    assert_problem(await api.get(JOBS, params={"page": 1}), 422, "validation_failed")


async def test_a_job_names_the_leads_it_made_a_page_at_a_time(api: Api, sql: Sql) -> None:
    job_id = (await api.post(TRIGGER)).json()["id"]
    rows = await sql(
        "WITH people AS (INSERT INTO persons (id, first_name, last_name) SELECT gen_random_uuid(), 'a', 'b'"
        " FROM generate_series(1, 5) RETURNING id), made AS (INSERT INTO leads (id, person_id, email, source,"
        " status, version, search_text, name_sort) SELECT gen_random_uuid(), id, id || '@example.com', 'external_api',"
        " 'new', 1, '', '' FROM people RETURNING id)"
        " INSERT INTO sync_job_leads SELECT %s, id FROM made RETURNING lead_id",
        job_id,
    )
    first = (await api.get(f"{JOBS}/{job_id}", params={"limit": 3})).json()
    second = (await api.get(f"{JOBS}/{job_id}", params={"limit": 3, "cursor": first["meta"]["nextCursor"]})).json()
    assert (first["meta"]["hasNextPage"], second["meta"]["hasNextPage"]) == (True, False)
    assert first["leadIds"] + second["leadIds"] == sorted(str(row["lead_id"]) for row in rows)


@pytest.mark.parametrize("job_id", ["019ac0de-0000-7000-8000-000000000000", "not-an-id"])
async def test_an_unknown_job_is_404(api: Api, job_id: str) -> None:
    answer = await api.get(f"{JOBS}/{job_id}")
    assert answer.status_code == 404


async def test_sources_say_when_they_ran_and_will_run(
    make_api: MakeApi, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNC_SOURCES", FURTHER)
    api = await make_api()
    crm = (await api.post(TRIGGER, json={"source": "crm"})).json()
    await end_jobs(sql)
    await api.post(TRIGGER, json={"source": "crm"})
    await sql("UPDATE sync_jobs SET status = 'failed', completed_at = now() WHERE id <> %s", crm["id"])
    newest = (await api.post(TRIGGER, json={"source": "crm"})).json()
    sources = {source["name"]: source for source in (await api.get(SOURCES)).json()["data"]}
    assert list(sources) == ["randomuser", "crm", "old"]
    assert (sources["crm"]["type"], sources["crm"]["cron"], sources["crm"]["batchSize"]) == (
        "http_json",
        "@weekly",
        500,
    )
    assert sources["crm"]["lastRun"]["id"] == newest["id"]
    assert sources["crm"]["nextRun"].endswith("T00:00:00Z")
    assert sources["randomuser"]["lastRun"] is None
    assert sources["randomuser"]["nextRun"] > newest["createdAt"]
    assert (sources["old"]["cron"], sources["old"]["nextRun"]) == (None, None)
    assert "crm.example.com" not in str(sources)


async def test_cancelling_the_task_ends_the_run(api: Api) -> None:
    job = (await api.post(TRIGGER)).json()
    assert (await api.delete(f"/api/v1/tasks/{job['taskId']}")).status_code == 204
    shown = (await api.get(f"{JOBS}/{job['id']}")).json()
    assert (shown["status"], shown["errors"][0]["code"]) == ("failed", "cancelled")
    assert (await api.post(TRIGGER)).json()["id"] != job["id"]


async def test_starting_a_run_is_audited(api: Api, sql: Sql) -> None:
    job = (await api.post(TRIGGER)).json()
    [row] = await sql("SELECT * FROM audit_logs WHERE action = 'sync.start'")
    assert (row["entity_id"], row["actor"], row["data"]["source"]) == (job["id"], "key:root", "randomuser")


async def test_older_paths_still_work(api: Api) -> None:
    assert (await api.post("/sync/trigger")).status_code == 202
    assert (await api.get("/sync/jobs")).status_code == 200
