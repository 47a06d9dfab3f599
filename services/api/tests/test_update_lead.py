"""PATCH /leads/{id}."""

import asyncio
from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead

LEADS = "/api/v1/leads"


async def patch(api: Api, lead: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await api.patch(f"{LEADS}/{lead['id']}", json=changes)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def version(sql: Sql, lead: dict[str, Any]) -> int:
    [row] = await sql("SELECT version FROM leads WHERE id = %s", lead["id"])
    return int(row["version"])


OF_LEAD = [
    ("email", "other@example.com"),
    ("source", "csv"),
    ("status", "lost"),
    ("externalId", "x-9"),
    ("metadata", {"a": 1}),
]
OF_PERSON = [
    ("firstName", "Eva"), ("lastName", "Pérez"), ("phone", "+34 612 345 678"), ("dateOfBirth", "1970-01-01"),
    ("nationality", "ES"), ("gender", "other"), ("pictureUrl", "https://example.com/e.png"),
]  # fmt: skip
FACTS = {"firstName", "lastName", "phone", "dateOfBirth", "nationality", "source", "status", "metadata", "address"}


@pytest.mark.parametrize(("field", "value"), [*OF_LEAD, *OF_PERSON])
async def test_each_field_changes_alone(api: Api, sql: Sql, field: str, value: Any) -> None:
    lead = await make_lead(api, address={"city": "Rosario"})
    [before] = await sql("SELECT facts_changed_at FROM leads")
    changed = await patch(api, lead, **{field: value})
    part = changed if (field, value) in OF_LEAD else changed["person"]
    assert part[field] == value
    assert await version(sql, lead) == 2
    assert changed["updatedAt"] > lead["updatedAt"]
    [after] = await sql("SELECT facts_changed_at FROM leads")
    assert (after != before) == (field in FACTS), "only what the model is told makes a summary stale"
    assert changed == (await api.get(f"{LEADS}/{lead['id']}")).json()


@pytest.mark.parametrize(
    "field",
    ["phone", "dateOfBirth", "nationality", "gender", "pictureUrl", "externalId", "metadata", "ownerId", "address"],
)
async def test_null_empties_what_may_be_empty(shared_api: Api, field: str) -> None:
    owner = (await shared_api.client_for()).headers["x-test-user"]
    full = {
        "phone": "+34612345678", "dateOfBirth": "1970-01-01", "nationality": "ES", "gender": "x",
        "pictureUrl": "https://example.com/e.png", "externalId": f"null-{field}", "metadata": {"a": 1},
        "ownerId": owner, "address": {"city": "Rosario"},
    }  # fmt: skip
    lead = await make_lead(shared_api, **full)
    changed = await patch(shared_api, lead, **{field: None})
    assert (changed | changed["person"])[field] is None
    if field == "phone":
        assert changed["person"]["phoneE164"] is None


@pytest.mark.parametrize("field", ["firstName", "lastName", "email", "source", "status"])
async def test_null_is_refused_where_a_value_is_needed(shared_api: Api, field: str) -> None:
    lead = await make_lead(shared_api)
    assert_problem(await shared_api.patch(f"{LEADS}/{lead['id']}", json={field: None}), 422, "validation_failed")


async def test_nothing_given_and_nothing_new_change_nothing(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    assert await patch(api, lead) == lead
    assert await patch(api, lead, firstName="Ana", email=lead["email"].upper()) == lead
    assert await version(sql, lead) == 1
    assert await sql("SELECT 1 FROM audit_logs WHERE action = 'lead.update'") == []


async def test_an_address_is_merged_part_by_part(shared_api: Api) -> None:
    lead = await make_lead(shared_api, address={"city": "Rosario", "country": "Argentina"})
    changed = await patch(shared_api, lead, address={"city": "Córdoba", "street": "9 de Julio 1"})
    assert changed["person"]["address"] == {
        "street": "9 de Julio 1", "city": "Córdoba", "state": None, "postcode": None, "country": "Argentina",
    }  # fmt: skip
    changed = await patch(shared_api, lead, address={"city": None, "street": None, "country": None})
    assert changed["person"]["address"] is None


async def test_an_email_of_another_lead_is_refused(shared_api: Api) -> None:
    first, second = await make_lead(shared_api), await make_lead(shared_api)
    answer = await shared_api.patch(f"{LEADS}/{second['id']}", json={"email": f" {first['email'].upper()}"})
    assert assert_problem(answer, 409, "lead_email_taken")["leadId"] == first["id"]


async def test_of_many_that_want_one_email_at_once_one_gets_it(shared_api: Api) -> None:
    leads = [await make_lead(shared_api) for _ in range(8)]
    wanted = {"email": f"wanted-{leads[0]['id'][-8:]}@example.com"}
    answers = await asyncio.gather(*(shared_api.patch(f"{LEADS}/{lead['id']}", json=wanted) for lead in leads))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "lead_email_taken", not_shown="wanted-")


async def test_a_changed_status_and_owner_are_events(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    owner = await api.make_user("o@example.com")
    await patch(api, lead, status="qualified", ownerId=owner, nationality="AR")
    events = await sql("SELECT type, data FROM lead_events WHERE type <> 'created' ORDER BY type")
    assert events == [
        {"type": "owner_changed", "data": {"from": None, "to": owner}},
        {"type": "status_changed", "data": {"from": "new", "to": "qualified"}},
    ]
    [audit] = await sql("SELECT data FROM audit_logs WHERE action = 'lead.update'")
    assert audit["data"] == {"fields": ["nationality", "owner_id", "status"]}


async def test_a_number_moves_with_its_lead_and_goes_to_the_next_who_has_it(api: Api, sql: Sql) -> None:
    first = await make_lead(api, phone="+34 612 345 678")
    second = await make_lead(api, phone="+34 612 345 678")
    await patch(api, first, phone="+34 699 999 999")
    rows = await sql("SELECT phone_e164, lead_id::text FROM lead_phones ORDER BY 1")
    assert rows == [
        {"phone_e164": "+34612345678", "lead_id": second["id"]},
        {"phone_e164": "+34699999999", "lead_id": first["id"]},
    ]
    await patch(api, first, phone="+34 612 345 678")
    assert await sql("SELECT phone_e164, lead_id::text FROM lead_phones") == [rows[0]]


async def test_a_person_with_two_leads_changes_in_both(api: Api, sql: Sql) -> None:
    first, second = await make_lead(api), await make_lead(api)
    await sql("UPDATE leads SET person_id = %s WHERE id = %s", first["personId"], second["id"])
    await api.get(f"{LEADS}/{second['id']}")
    await patch(api, first, lastName="Nueva", phone="+34 612 345 678")
    other = (await api.get(f"{LEADS}/{second['id']}")).json()
    assert other["person"]["lastName"] == "Nueva"
    assert await version(sql, second) == 2
    found = (await api.get(LEADS, params={"search": "nueva"})).json()
    assert {lead["id"] for lead in found["data"]} == {first["id"], second["id"]}


async def test_searches_and_the_order_by_name_follow_a_change(api: Api) -> None:
    lead = await make_lead(api)
    await patch(api, lead, firstName="Zacarías", phone="+34 612 345 678")
    for text in ("zacarías garcía", "612345678"):
        assert (await api.get(LEADS, params={"search": text})).json()["meta"]["total"] == 1
