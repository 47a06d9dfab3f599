"""Two leads that are one person."""

import asyncio
from uuid import uuid4

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead


async def merge(api: Api, source: str, target: str):  # type: ignore[no-untyped-def]
    return await api.post(f"/api/v1/leads/{source}/merge", json={"intoId": target})


async def test_the_target_keeps_what_it_has_and_gets_what_it_lacks(api: Api) -> None:
    source = await make_lead(
        api,
        phone="+54 11 3456-7890",
        nationality="AR",
        gender="female",
        externalId="crm-1",
        address={"city": "Rosario", "country": "Argentina"},
        metadata={"profession": "abogada", "campaign": "spring"},
    )
    target = await make_lead(
        api, gender="other", address={"city": "Córdoba"}, metadata={"campaign": "autumn"}, dateOfBirth="1990-02-03"
    )
    answer = await merge(api, source["id"], target["id"])
    assert answer.status_code == 200, answer.text
    merged = answer.json()
    assert merged["id"] == target["id"]
    assert merged["email"] == target["email"]
    assert merged["externalId"] == "crm-1"
    assert merged["metadata"] == {"profession": "abogada", "campaign": "autumn"}
    person = merged["person"]
    assert (person["gender"], person["nationality"], person["phoneE164"]) == ("other", "AR", "+541134567890")
    assert person["address"]["city"] == "Córdoba"
    assert person["address"]["country"] == "Argentina"
    assert answer.headers["etag"] == (await api.get(f"/api/v1/leads/{target['id']}")).headers["etag"]


async def test_the_sources_id_then_says_where_it_went(api: Api) -> None:
    first, second, third = [(await make_lead(api))["id"] for _ in range(3)]
    assert (await api.get(f"/api/v1/leads/{first}")).status_code == 200  # cached from here on
    await merge(api, first, second)
    assert assert_problem(await api.get(f"/api/v1/leads/{first}"), 404, "lead_not_found")["mergedInto"] == second
    changed = await api.patch(f"/api/v1/leads/{first}", json={"status": "lost"})
    assert assert_problem(changed, 404, "lead_not_found")["mergedInto"] == second
    await merge(api, second, third)
    assert assert_problem(await api.get(f"/api/v1/leads/{first}"), 404, "lead_not_found")["mergedInto"] == third


async def test_history_and_number_move_and_the_source_leaves_nothing_behind(api: Api, sql: Sql) -> None:
    source = await make_lead(api, phone="+54 11 3456-7890")
    target = await make_lead(api)
    await api.patch(f"/api/v1/leads/{source['id']}", json={"status": "qualified"})
    await api.post(f"/api/v1/leads/{source['id']}/summarize")
    await merge(api, source["id"], target["id"])
    timeline = (await api.get(f"/api/v1/leads/{target['id']}/timeline")).json()["data"]
    assert [item["type"] for item in timeline] == ["merged", "status_changed", "created", "created"]
    assert await sql("SELECT lead_id::text FROM lead_phones") == [{"lead_id": target["id"]}]
    assert await sql("SELECT count(*)::int AS n FROM persons") == [{"n": 1}]
    assert await sql("SELECT status FROM tasks") == [{"status": "cancelled"}]
    audited = await sql("SELECT entity_id, data FROM audit_logs WHERE action = 'lead.merge'")
    assert audited == [{"entity_id": target["id"], "data": {"source": source["id"]}}]


async def test_a_lead_without_an_email_gets_the_other_ones(api: Api, sql: Sql) -> None:
    source, target = await make_lead(api), await make_lead(api)
    await sql("UPDATE leads SET email = NULL, source = 'webhook' WHERE id = %s", target["id"])
    assert (await merge(api, source["id"], target["id"])).json()["email"] == source["email"]


async def test_a_summary_of_the_target_is_stale_afterwards(api: Api, sql: Sql) -> None:
    source, target = await make_lead(api, nationality="AR"), await make_lead(api)
    await sql(
        "UPDATE leads SET summary = 's', next_action = 'n', summary_generated_at = now(),"
        " summary_facts_at = facts_changed_at"
    )
    await merge(api, source["id"], target["id"])
    assert (await api.post(f"/api/v1/leads/{target['id']}/summarize")).status_code == 202


async def test_what_cannot_be_merged_is_refused(api: Api) -> None:
    lead = (await make_lead(api))["id"]
    assert_problem(await merge(api, lead, lead), 409, "merge_into_itself")
    assert_problem(await merge(api, lead, str(uuid4())), 422, "merge_target_not_found")
    assert_problem(await merge(api, str(uuid4()), lead), 404, "lead_not_found")
    assert_problem(await api.post(f"/api/v1/leads/{lead}/merge", json={"intoId": "x"}), 422, "validation_failed")


async def test_sales_agents_may_not_merge(api: Api) -> None:
    source, target = await make_lead(api), await make_lead(api)
    agent = await api.client_for("SALES_AGENT")
    answer = await agent.post(f"/api/v1/leads/{source['id']}/merge", json={"intoId": target["id"]})
    assert_problem(answer, 403, "forbidden")


@pytest.mark.parametrize("attempt", range(3))
async def test_opposite_merges_at_once_leave_one_lead(api: Api, sql: Sql, attempt: int) -> None:
    one, other = (await make_lead(api))["id"], (await make_lead(api))["id"]
    answers = await asyncio.gather(*(merge(api, *pair) for pair in [(one, other), (other, one)] * 4))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 404, 422}
    assert await sql("SELECT count(*)::int AS n FROM leads") == [{"n": 1}]
