"""Which lead a client is, and what the lead shows of its client's meetings."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest
from api_testkit import Api, Sql, assert_problem, make_lead, until_blocked
from meetings_testkit import CLIENTS, MEETINGS, classify, make_client, make_meeting, make_seller

from contactship_common.lead_intake import NewLead, take_in
from contactship_common.uow import unit_of_work

LEADS = "/api/v1/leads"
PHONE, OTHER_PHONE = "+54 9 341 2000001", "+54 9 341 2000002"


async def lead_of(api: Api, client: dict[str, Any]) -> str | None:
    found: str | None = (await api.get(f"{CLIENTS}/{client['id']}")).json()["leadId"]
    return found


async def take(api: Api, *leads: dict[str, Any]) -> list[str]:
    new = [NewLead(**({"first_name": "Ana", "last_name": "G", "source": "csv"} | lead)) for lead in leads]
    async with unit_of_work(api.gateway.runtime) as uow:
        made = (await take_in(uow, new, event="created", actor="tester")).created
    return [str(lead_id) for lead_id in made.values()]


async def test_a_new_client_is_the_lead_with_its_email_else_with_its_phone(api: Api) -> None:
    by_email = await make_lead(api, email="ana@example.com")
    by_phone = await make_lead(api, phone=PHONE)
    assert (await make_client(api, email="ANA@example.com", phone=PHONE))["leadId"] == by_email["id"]
    assert (await make_client(api, email="other@example.com", phone="+5493412000001"))["leadId"] == by_phone["id"]
    assert (await make_client(api, phone=OTHER_PHONE))["leadId"] is None


async def test_a_client_is_compared_again_when_email_or_phone_change(api: Api) -> None:
    lead = await make_lead(api, email="ana@example.com", phone=PHONE)
    client = await make_client(api)
    path = f"{CLIENTS}/{client['id']}"
    assert (await api.patch(path, json={"email": "ana@example.com"})).json()["leadId"] == lead["id"]
    assert (await api.patch(path, json={"email": "b@example.com"})).json()["leadId"] is None
    assert (await api.patch(path, json={"phone": PHONE})).json()["leadId"] == lead["id"]
    assert (await api.patch(path, json={"phone": ""})).json()["leadId"] is None


async def test_a_later_lead_takes_in_its_clients(api: Api) -> None:
    by_email, by_phone = await make_client(api, email="ana@example.com"), await make_client(api, phone=PHONE)
    nobody = await make_client(api, email="nobody@example.com", phone=OTHER_PHONE)
    lead = await make_lead(api, email="ana@example.com", phone=PHONE)
    assert [await lead_of(api, client) for client in (by_email, by_phone, nobody)] == [lead["id"], lead["id"], None]


async def test_a_changed_lead_takes_in_its_clients_and_lets_none_go(api: Api) -> None:
    by_email, by_phone = await make_client(api, email="ana@example.com"), await make_client(api, phone=PHONE)
    lead = await make_lead(api)
    path = f"{LEADS}/{lead['id']}"
    await api.patch(path, json={"email": "ana@example.com", "phone": PHONE})
    assert [await lead_of(api, by_email), await lead_of(api, by_phone)] == [lead["id"], lead["id"]]
    await api.patch(path, json={"email": "b@example.com", "phone": OTHER_PHONE})
    assert [await lead_of(api, by_email), await lead_of(api, by_phone)] == [lead["id"], lead["id"]]


async def test_imported_leads_take_in_their_clients(api: Api) -> None:
    by_email, by_phone = await make_client(api, email="ana@example.com"), await make_client(api, phone=PHONE)
    shared = await make_client(api, email="shared@example.com", phone=PHONE)
    ana, phone, both = await take(
        api,
        {"email": "ana@example.com"},
        {"email": "x@example.com", "phone": PHONE},
        {"email": "shared@example.com"},
    )
    assert [await lead_of(api, client) for client in (by_email, by_phone, shared)] == [ana, phone, both]


async def test_an_email_outdoes_a_phone_that_was_there_first(api: Api) -> None:
    by_phone = await make_lead(api, phone=PHONE)
    client = await make_client(api, email="ana@example.com", phone=PHONE)
    assert client["leadId"] == by_phone["id"]
    by_email = await make_lead(api, email="ana@example.com")
    assert await lead_of(api, client) == by_email["id"]
    await api.patch(f"{LEADS}/{by_phone['id']}", json={"phone": OTHER_PHONE})
    await api.patch(f"{LEADS}/{by_phone['id']}", json={"phone": PHONE})
    assert await lead_of(api, client) == by_email["id"]


async def test_a_merge_moves_clients_and_a_deleted_lead_lets_them_go(api: Api) -> None:
    source, target = await make_lead(api, email="ana@example.com"), await make_lead(api)
    client = await make_client(api, email="ana@example.com")
    assert (await api.post(f"{LEADS}/{source['id']}/merge", json={"intoId": target["id"]})).status_code == 200
    assert await lead_of(api, client) == target["id"]
    assert (await api.delete(f"{LEADS}/{target['id']}")).status_code == 204
    assert await lead_of(api, client) is None


async def test_a_client_and_a_lead_who_appear_at_the_same_moment_find_each_other(api: Api, sql: Sql) -> None:
    makers: list[Any] = []
    for number in range(25):
        email = f"twin{number}@example.com"
        makers += [make_client(api, email=email), make_lead(api, email=email)]
        phone = f"+54 9 341 21000{number:02}"
        makers += [make_lead(api, phone=phone), make_client(api, phone=phone)]
    await asyncio.gather(*makers)
    assert await sql("SELECT email, phone FROM clients WHERE lead_id IS NULL") == []


async def fresh(api: Api, sql: Sql, lead_id: str) -> bool:
    """Whether a summary that was written a moment ago would still be of what the lead is now; then it is again."""
    [row] = await sql("SELECT summary_facts_at = facts_changed_at AS fresh FROM leads WHERE id = %s", lead_id)
    await sql("UPDATE leads SET summary = 's', summary_facts_at = facts_changed_at WHERE id = %s", lead_id)
    return bool(row["fresh"])


async def test_what_is_said_in_meetings_makes_a_summary_stale(api: Api, sql: Sql) -> None:
    lead = await make_lead(api, email="ana@example.com")
    client, seller = await make_client(api, email="ana@example.com"), await make_seller(api)
    await fresh(api, sql, lead["id"])

    async def stale() -> bool:
        return not await fresh(api, sql, lead["id"])

    assert not await stale()
    silent = await make_meeting(api, clientId=client["id"], sellerId=seller["id"])
    assert not await stale()
    meeting = await make_meeting(api, clientId=client["id"], sellerId=seller["id"], transcript="Hola")
    assert await stale()
    path = f"{MEETINGS}/{meeting['id']}"
    await api.patch(path, json={"transcript": "Hola", "durationMinutes": 5})
    assert not await stale()
    await api.patch(path, json={"transcript": "Hola otra vez"})
    assert await stale()
    other = await make_client(api)
    await api.patch(path, json={"clientId": other["id"]})
    assert await stale()
    await api.patch(f"{CLIENTS}/{other['id']}", json={"email": "nobody@example.com"})
    assert not await stale()
    await api.patch(path, json={"clientId": client["id"]})
    assert await stale()
    await api.patch(f"{CLIENTS}/{client['id']}", json={"email": "away@example.com"})
    assert await stale()
    await api.patch(f"{CLIENTS}/{client['id']}", json={"email": "ana@example.com"})
    assert await stale()
    await api.delete(path)
    assert await stale()
    await api.delete(f"{CLIENTS}/{client['id']}?cascade=true")
    assert await stale()
    assert_problem(await api.get(f"{MEETINGS}/{silent['id']}"), 404, "meeting_not_found")


async def timeline(api: Api, lead_id: str, **parameters: Any) -> dict[str, Any]:
    answer = await api.get(f"{LEADS}/{lead_id}/timeline", params=parameters)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_timeline_shows_meetings_at_their_time_and_what_was_made_of_them(api: Api, sql: Sql) -> None:
    lead = await make_lead(api, email="ana@example.com")
    client, seller = await make_client(api, email="ana@example.com"), await make_seller(api, name="Tomás Rivas")
    both = {"clientId": client["id"], "sellerId": seller["id"]}
    old = await make_meeting(api, **both, meetingAt="2020-01-01T00:00:00Z", durationMinutes=30, status="closed")
    to_come = await make_meeting(api, **both, meetingAt="2100-01-01T00:00:00Z")
    await make_meeting(api)
    row_id = await classify(sql, old["id"], "Quieren una demo", "positive")
    items = (await timeline(api, lead["id"]))["data"]
    assert [item["type"] for item in items] == ["meeting", "meeting_classified", "created", "meeting"]
    assert items[0]["data"] == {
        "meetingId": to_come["id"], "status": "open", "sellerName": "Tomás Rivas", "durationMinutes": None,
    }  # fmt: skip
    assert items[1]["id"] == row_id
    assert items[1]["data"] == {"meetingId": old["id"], "summary": "Quieren una demo", "sentiment": "positive"}
    assert (items[3]["at"], items[3]["data"]["durationMinutes"]) == ("2020-01-01T00:00:00Z", 30)


async def test_whoever_may_not_read_meetings_does_not_see_them_there(api: Api, sql: Sql) -> None:
    lead = await make_lead(api, email="ana@example.com")
    client = await make_client(api, email="ana@example.com")
    meeting = await make_meeting(api, clientId=client["id"])
    await classify(sql, meeting["id"])
    made = await api.post("/api/v1/api-keys", json={"name": "k", "scopes": ["leads:read"]})
    reader = api.client({"x-api-key": made.json()["key"]})
    items = (await reader.get(f"{LEADS}/{lead['id']}/timeline")).json()["data"]
    assert [item["type"] for item in items] == ["created"]


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_a_walk_through_a_timeline_shows_everything_once_in_one_order(api: Api, sql: Sql, limit: int) -> None:
    lead = await make_lead(api, email="ana@example.com")
    client, seller = await make_client(api, email="ana@example.com"), await make_seller(api)
    for number in range(6):
        meeting = await make_meeting(
            api, clientId=client["id"], sellerId=seller["id"], meetingAt=f"2026-01-0{1 + number // 3}T00:00:00Z"
        )
        row_id = await classify(sql, meeting["id"])
        # Many things at one moment, of all kinds: only the id tells them apart.
        await sql("UPDATE meeting_classifications SET processed_at = '2026-01-02' WHERE id = %s", row_id)
        await sql(
            "INSERT INTO lead_events (id, lead_id, type, data, created_at)"
            " VALUES (gen_random_uuid(), %s, 'noted', '{}', '2026-01-02')",
            lead["id"],
        )
    seen: list[tuple[str, str]] = []
    cursor = ""
    while cursor is not None:
        page = await timeline(api, lead["id"], limit=limit, cursor=cursor)
        assert len(page["data"]) <= limit
        seen += [(item["at"], str(UUID(item["id"]))) for item in page["data"]]
        cursor = page["meta"]["nextCursor"]
    assert len(seen) == len(set(seen)) == 19
    assert seen == sorted(seen, reverse=True)


async def test_a_client_that_goes_while_a_meeting_is_classified_takes_its_turn(
    api: Api, sql: Sql, database_url: str
) -> None:
    lead = await make_lead(api, email="ana@example.com")
    client = await make_client(api, email="ana@example.com")
    meeting = await make_meeting(api, clientId=client["id"])
    async with await psycopg.AsyncConnection.connect(database_url) as run:
        await run.execute("SELECT FROM meetings WHERE id = %s FOR UPDATE", (meeting["id"],))  # as the worker does
        gone = asyncio.create_task(api.delete(f"{CLIENTS}/{client['id']}?cascade=true"))
        await until_blocked(sql, "the client to wait for its meeting")
        await run.execute("UPDATE leads SET facts_changed_at = clock_timestamp() WHERE id = %s", (lead["id"],))
        await run.commit()
    assert (await gone).status_code == 204
