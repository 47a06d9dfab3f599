"""POST /leads/summarize and GET /tasks/batches/{id}."""

from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead, run_tasks

LEADS = "/api/v1/leads"
NOBODY = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


async def counts(api: Api, batch: dict[str, Any]) -> dict[str, Any]:
    body = (await api.get(f"/api/v1/tasks/batches/{batch['batchId']}")).json()
    assert body.pop("id") == batch["batchId"]
    assert body.pop("createdAt").endswith("Z")
    return dict(body)


async def test_many_leads_are_counted_by_what_became_of_them(api: Api, sql: Sql) -> None:
    fresh, *stale = [await make_lead(api) for _ in range(5)]
    first = (await api.post(f"{LEADS}/{fresh['id']}/summarize")).json()["taskId"]
    await run_tasks(api, first)
    wanted = [fresh["id"], *(lead["id"] for lead in stale), stale[0]["id"], NOBODY]
    answer = await api.post(f"{LEADS}/summarize", json={"leadIds": wanted})
    batch = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/tasks/batches/{batch['batchId']}"
    assert int(answer.headers["retry-after"]) >= 1
    assert (batch["status"], batch["queued"], batch["notFound"], batch["taskId"]) == ("processing", 4, 1, None)
    zero = {"failed": 0, "cancelled": 0, "notFound": 1, "total": 6}
    assert await counts(api, batch) == zero | {"status": "processing", "completed": 1, "processing": 4}
    by_lead = {row["subject_id"]: row["id"] for row in await sql("SELECT subject_id::text, id::text FROM tasks")}
    tasks = [by_lead[lead["id"]] for lead in stale]
    await run_tasks(api, tasks[0])
    await run_tasks(api, tasks[1], fails=True)
    await api.delete(f"/api/v1/tasks/{tasks[2]}")
    assert await counts(api, batch) == {
        "status": "processing", "total": 6, "completed": 2, "failed": 1, "cancelled": 1, "processing": 1, "notFound": 1,
    }  # fmt: skip
    await run_tasks(api, tasks[3])
    assert (await counts(api, batch))["status"] == "completed"


async def test_what_waits_already_joins_the_batch(api: Api) -> None:
    lead = await make_lead(api)
    task = (await api.post(f"{LEADS}/{lead['id']}/summarize")).json()["taskId"]
    batches = [(await api.post(f"{LEADS}/summarize", json={"leadIds": [lead["id"]]})).json() for _ in range(2)]
    await run_tasks(api, task)
    for batch in batches:
        assert (await counts(api, batch))["completed"] == 1


async def test_a_batch_of_nothing_but_fresh_and_unknown_leads_is_complete(api: Api, sql: Sql) -> None:
    batch = (await api.post(f"{LEADS}/summarize", json={"leadIds": [NOBODY]})).json()
    assert batch["queued"] == 0
    state = await counts(api, batch)
    assert (state["status"], state["total"], state["notFound"]) == ("completed", 1, 1)
    assert await sql("SELECT 1 FROM tasks") == []


async def test_five_hundred_leads_are_taken_and_rung_by_the_dispatcher(api: Api, sql: Sql) -> None:
    ids = [f"01932d5c-89a4-7b6e-9f1a-{n:012x}" for n in range(500)]
    answer = await api.post(f"{LEADS}/summarize", json={"leadIds": ids})
    assert answer.json()["notFound"] == 500


async def test_a_filter_is_a_task_of_its_own(api: Api, sql: Sql) -> None:
    body = {"filter": {"status": "new", "source": "csv", "withoutSummary": True}}
    batch = (await api.post(f"{LEADS}/summarize", json=body)).json()
    [task] = await sql("SELECT id::text, kind, payload FROM tasks")
    assert (task["id"], task["kind"]) == (batch["taskId"], "lead.summary_batch")
    assert task["payload"] == {"batch_id": batch["batchId"], "status": "new", "source": "csv", "without_summary": True}
    assert (await counts(api, batch))["status"] == "processing"
    shown = (await api.get(f"/api/v1/tasks/{task['id']}")).json()
    assert shown["links"]["subject"] == f"/api/v1/tasks/batches/{batch['batchId']}"


@pytest.mark.parametrize(
    "body",
    [
        {}, {"leadIds": []}, {"leadIds": None}, {"leadIds": ["1"]}, {"leadIds": "all"}, {"leadIds": [NOBODY] * 501},
        {"leadIds": [NOBODY], "filter": {}}, {"filter": {"status": "x"}}, {"filter": {"emails": 1}}, {"filter": None},
        {"leadIds": [NOBODY], "extra": 1}, {"filter": {"withoutSummary": None}}, {"filter": {"withoutSummary": "yes"}}, {"filter": {"withoutSummary": 1}}, {"filter": []},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_422(shared_api: Api, body: dict[str, Any]) -> None:
    assert_problem(await shared_api.post(f"{LEADS}/summarize", json=body), 422, "validation_failed")


async def test_snake_case_and_an_empty_filter_are_fine(shared_api: Api) -> None:
    for body in ({"lead_ids": [NOBODY]}, {"filter": {}}, {"filter": {"without_summary": True}}):
        assert (await shared_api.post(f"{LEADS}/summarize", json=body)).status_code == 202
