"""POST /leads."""

import asyncio
from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead, new_lead

LEADS = "/api/v1/leads"

EVERYTHING = {
    "firstName": "Ana María",
    "lastName": "García",
    "email": "  Ana.Garcia@Example.COM ",
    "phone": "+54 11 3456-7890",
    "address": {
        "street": "Av. Corrientes 1234", "city": "Buenos Aires", "state": None, "postcode": "C1043",
        "country": "Argentina",
    },
    "dateOfBirth": "1990-05-17",
    "nationality": "AR",
    "gender": "female",
    "pictureUrl": "https://example.com/ana.png",
    "source": "external_api",
    "status": "contacted",
    "externalId": "crm-17",
    "metadata": {"profession": "abogada", "tags": ["vip", None]},
}  # fmt: skip


async def test_every_field_comes_back_normalised_and_absent_values_are_null(api: Api) -> None:
    answer = await api.post(LEADS, json=EVERYTHING)
    lead = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{LEADS}/{lead['id']}"
    assert lead["email"] == "ana.garcia@example.com"
    assert lead["name"] == "Ana María García"
    assert lead["person"] == {
        "id": lead["personId"], "firstName": "Ana María", "lastName": "García", "phone": "+54 11 3456-7890",
        "phoneE164": "+541134567890", "dateOfBirth": "1990-05-17", "nationality": "AR", "gender": "female",
        "pictureUrl": "https://example.com/ana.png", "address": EVERYTHING["address"],
    }  # fmt: skip
    assert lead["metadata"] == EVERYTHING["metadata"]
    assert (lead["source"], lead["status"], lead["externalId"]) == ("external_api", "contacted", "crm-17")
    nulls = ("ownerId", "summary", "nextAction", "next_action", "summaryError", "summaryGeneratedAt", "syncedAt")
    assert {name: lead[name] for name in nulls} == dict.fromkeys(nulls)
    assert lead["summaryStatus"] == "none"
    assert lead["createdAt"].endswith("Z")
    assert lead["updatedAt"].endswith("Z")
    assert lead == (await api.get(f"{LEADS}/{lead['id']}")).json()
    assert lead["id"][14] == "7", "ids are UUIDv7"


async def test_the_defaults_are_manual_and_new(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    assert (lead["source"], lead["status"]) == ("manual", "new")
    assert lead["person"]["address"] is None


async def test_snake_case_is_accepted_as_well(shared_api: Api) -> None:
    body = new_lead(firstName=..., lastName=...) | {
        "first_name": "Bo", "last_name": "Li", "date_of_birth": "1980-01-01", "external_id": "x-1",
        "picture_url": "http://example.com/b.png",
    }  # fmt: skip
    lead = (await shared_api.post(LEADS, json=body)).json()
    assert lead["name"] == "Bo Li"
    assert lead["externalId"] == "x-1"
    assert lead["person"]["dateOfBirth"] == "1980-01-01"


async def test_every_optional_field_may_be_null_or_blank(shared_api: Api) -> None:
    fields = ("phone", "address", "dateOfBirth", "nationality", "gender", "pictureUrl", "externalId")
    for nothing in (None, "  "):
        given = {name: nothing for name in fields if name != "address" or nothing is None}
        answer = await shared_api.post(LEADS, json=new_lead(ownerId=None, metadata=None, name=None, **given))
        assert answer.status_code == 201, answer.text
        lead = answer.json()
        assert lead["externalId"] is None
        assert lead["person"]["phone"] is None


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [("Ana García López", "Ana", "García López"), ("Cher", "Cher", ""), ("  Bo   Li  ", "Bo", "Li")],
)
async def test_a_name_is_split_at_its_first_space(shared_api: Api, name: str, first: str, last: str) -> None:
    lead = await make_lead(shared_api, firstName=..., lastName=..., name=name)
    assert (lead["person"]["firstName"], lead["person"]["lastName"]) == (first, last)


@pytest.mark.parametrize(
    "missing", [{"firstName": ...}, {"lastName": ...}, {"firstName": ..., "lastName": ...}, {"email": ...}]
)
async def test_name_and_email_are_required(shared_api: Api, missing: dict[str, Any]) -> None:
    assert_problem(await shared_api.post(LEADS, json=new_lead(**missing)), 422, "validation_failed")


@pytest.mark.parametrize("phone", ["ext. 12", "3456-7890", "+1 23", "call me"])
async def test_a_phone_that_cannot_be_parsed_is_kept_as_text(shared_api: Api, phone: str) -> None:
    person = (await make_lead(shared_api, phone=phone))["person"]
    assert (person["phone"], person["phoneE164"]) == (phone, None)


@pytest.mark.parametrize("again", ["ana@example.com", "ANA@EXAMPLE.COM", " ana@Example.com\t"])
async def test_a_taken_email_is_409_and_names_the_lead_that_has_it(api: Api, sql: Sql, again: str) -> None:
    first = await make_lead(api, email="Ana@example.com")
    body = assert_problem(await api.post(LEADS, json=new_lead(email=again)), 409, "lead_email_taken")
    assert body["leadId"] == first["id"]
    assert "example.com" not in str(body)
    assert await sql("SELECT count(*) AS n FROM persons") == [{"n": 1}]


async def test_of_fifty_at_once_with_one_email_exactly_one_is_made(api: Api, sql: Sql) -> None:
    bodies = [new_lead(email=email) for email in ("race@example.com", "RACE@example.com") * 25]
    answers = await asyncio.gather(*(api.post(LEADS, json=body) for body in bodies))
    made = [answer for answer in answers if answer.status_code == 201]
    assert len(made) == 1
    for answer in answers:
        if answer is not made[0]:
            assert assert_problem(answer, 409, "lead_email_taken")["leadId"] == made[0].json()["id"]
    counts = "SELECT (SELECT count(*) FROM leads) AS leads, (SELECT count(*) FROM persons) AS persons"
    assert await sql(counts) == [{"leads": 1, "persons": 1}]
    assert await sql("SELECT count(*) AS n FROM audit_logs WHERE action = 'lead.create'") == [{"n": 1}]


async def test_an_external_id_is_unique_in_its_source(api: Api, sql: Sql) -> None:
    await make_lead(api, externalId="crm-1", source="csv")
    await make_lead(api, externalId="crm-1", source="manual")
    answer = await api.post(LEADS, json=new_lead(externalId="crm-1", source="csv"))
    assert_problem(answer, 409, "lead_external_id_taken", not_shown="crm-1")
    assert await sql("SELECT count(*) AS n FROM persons") == [{"n": 2}]


async def test_an_owner_must_be_an_active_user(api: Api, sql: Sql) -> None:
    owner = await api.make_user("owner@example.com")
    assert (await make_lead(api, ownerId=owner))["ownerId"] == owner
    await sql("UPDATE users SET active = false")
    for nobody in (owner, "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"):
        assert_problem(await api.post(LEADS, json=new_lead(ownerId=nobody)), 422, "owner_not_found")


async def test_making_a_lead_leaves_its_event_its_audit_row_and_its_number(api: Api, sql: Sql) -> None:
    lead = await make_lead(api, phone="+34 612 345 678")
    events = await sql("SELECT type, actor, lead_id::text FROM lead_events")
    assert events == [{"type": "created", "actor": "key:root", "lead_id": lead["id"]}]
    audit = await sql("SELECT actor, action, entity_id, ip, request_id IS NOT NULL AS known FROM audit_logs")
    assert audit == [
        {"actor": "key:root", "action": "lead.create", "entity_id": lead["id"], "ip": "127.0.0.1", "known": True}
    ]
    assert await sql("SELECT phone_e164 FROM lead_phones") == [{"phone_e164": "+34612345678"}]


async def test_the_first_lead_with_a_number_answers_it(api: Api, sql: Sql) -> None:
    first = await make_lead(api, phone="+34 612 345 678")
    second = await make_lead(api, phone="+34612345678")
    assert second["person"]["phoneE164"] == "+34612345678"
    assert await sql("SELECT lead_id::text FROM lead_phones") == [{"lead_id": first["id"]}]


async def test_an_agent_may_make_leads(api: Api, sql: Sql) -> None:
    agent = await api.client_for("SALES_AGENT")
    lead = (await agent.post(LEADS, json=new_lead())).json()
    events = await sql("SELECT actor FROM lead_events WHERE lead_id = %s", lead["id"])
    assert events == [{"actor": f"user:{agent.headers['x-test-user']}"}]


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "once"}], ids=["at once", "the long way"])
async def test_what_was_made_has_the_etag_of_the_next_read(api: Api, headers: dict[str, str]) -> None:
    metadata = {"z": 1.0, "a": {"longer": [1e20, "ñ"], "b": None}, "aa": True}
    body = new_lead(metadata=metadata, phone="+54 9 11 3456-7890", address={"country": "AR", "city": "  Rosario "})
    made = await api.post("/api/v1/leads", json=body, headers=headers)
    read = await api.get(f"/api/v1/leads/{made.json()['id']}")
    assert (made.headers["etag"], made.json()) == (read.headers["etag"], read.json())
