"""DELETE /leads/{id}."""

import asyncio

from api_testkit import Api, Sql, assert_problem, make_lead, run_tasks

LEADS = "/api/v1/leads"


async def test_a_deleted_lead_is_gone_with_its_person_and_its_cached_copy(api: Api, sql: Sql) -> None:
    lead = await make_lead(api, phone="+34 612 345 678")
    await api.get(f"{LEADS}/{lead['id']}")
    answer = await api.delete(f"{LEADS}/{lead['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(await api.get(f"{LEADS}/{lead['id']}"), 404, "lead_not_found")
    assert_problem(await api.delete(f"{LEADS}/{lead['id']}"), 404, "lead_not_found")
    assert_problem(await api.patch(f"{LEADS}/{lead['id']}", json={"status": "lost"}), 404, "lead_not_found")
    left = "SELECT (SELECT count(*) FROM persons) AS p, (SELECT count(*) FROM lead_phones) AS n"
    assert await sql(left) == [{"p": 0, "n": 0}]
    assert len(await sql("SELECT 1 FROM audit_logs WHERE action = 'lead.delete' AND entity_id = %s", lead["id"])) == 1


async def test_a_person_stays_until_the_last_of_its_leads_goes(api: Api, sql: Sql) -> None:
    first, second = await make_lead(api), await make_lead(api)
    await sql("UPDATE leads SET person_id = %s WHERE id = %s", first["personId"], second["id"])
    await sql("DELETE FROM persons WHERE id = %s", second["personId"])
    await api.delete(f"{LEADS}/{first['id']}")
    assert len(await sql("SELECT 1 FROM persons")) == 1
    await api.delete(f"{LEADS}/{second['id']}")
    assert await sql("SELECT 1 FROM persons") == []


async def test_its_queued_task_is_cancelled_and_a_waiter_hears_of_it(api: Api) -> None:
    lead = await make_lead(api)
    task = (await api.post(f"{LEADS}/{lead['id']}/summarize")).json()["taskId"]
    waiter = asyncio.create_task(api.get(f"/api/v1/tasks/{task}?wait=20"))
    await asyncio.sleep(0)
    await api.delete(f"{LEADS}/{lead['id']}")
    async with asyncio.timeout(10):
        assert (await waiter).json()["status"] == "cancelled"
    await run_tasks(api, task)
    assert (await api.get(f"/api/v1/tasks/{task}")).json()["status"] == "cancelled"


async def test_its_number_goes_to_the_next_lead_that_has_it(api: Api, sql: Sql) -> None:
    first = await make_lead(api, phone="+34 612 345 678")
    second = await make_lead(api, phone="+34 612 345 678")
    await api.delete(f"{LEADS}/{first['id']}")
    assert await sql("SELECT lead_id::text FROM lead_phones") == [{"lead_id": second["id"]}]


async def test_an_agent_may_not_delete(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    agent, admin = await shared_api.client_for("SALES_AGENT"), await shared_api.client_for("ADMIN")
    assert_problem(await agent.delete(f"{LEADS}/{lead['id']}"), 403, "forbidden")
    assert (await admin.delete(f"{LEADS}/{lead['id']}")).status_code == 204


async def test_of_two_who_delete_at_once_one_finds_it(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    answers = await asyncio.gather(*(shared_api.delete(f"{LEADS}/{lead['id']}") for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [204, 404]
