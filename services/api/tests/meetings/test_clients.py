"""Clients: made, changed, listed, deleted."""

import asyncio
from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem
from meetings_testkit import CLIENTS, NOBODY, listed, make_client, make_meeting, make_seller, some_email, walk


async def test_a_new_client_can_be_read_again(shared_api: Api) -> None:
    email = some_email()
    made = await make_client(shared_api, email=f"  {email.upper()} ", phone="+54 11 3456-7890", company="Molinos")
    assert made["email"] == email
    assert (made["phone"], made["company"], made["leadId"]) == ("+54 11 3456-7890", "Molinos", None)
    assert (await shared_api.get(f"{CLIENTS}/{made['id']}")).json() == made


async def test_empty_fields_of_a_form_are_null(shared_api: Api) -> None:
    made = await make_client(shared_api, email=" ", phone="", company="   ")
    assert (made["email"], made["phone"], made["company"]) == (None, None, None)
    await make_client(shared_api, email="")  # null is no e-mail that could be taken


async def test_a_taken_email_names_its_client_in_whatever_case(shared_api: Api) -> None:
    first = await make_client(shared_api, email=some_email())
    again = await shared_api.post(CLIENTS, json={"name": "Other", "email": first["email"].upper()})
    assert assert_problem(again, 409, "client_email_taken")["clientId"] == first["id"]
    second = await make_client(shared_api)
    changed = await shared_api.patch(f"{CLIENTS}/{second['id']}", json={"email": first["email"].title()})
    assert assert_problem(changed, 409, "client_email_taken")["clientId"] == first["id"]
    same = await shared_api.patch(f"{CLIENTS}/{first['id']}", json={"email": first["email"].upper()})
    assert same.json() == first


async def test_of_fifty_creations_at_once_with_one_email_one_is_made(api: Api) -> None:
    body = {"name": "Ana", "email": "one@example.com"}
    answers = await asyncio.gather(*(api.post(CLIENTS, json=body) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    made = next(answer.json()["id"] for answer in answers if answer.status_code == 201)
    for answer in answers:
        if answer.status_code == 409:
            assert assert_problem(answer, 409, "client_email_taken")["clientId"] == made


async def test_of_many_changes_at_once_to_one_email_one_succeeds(api: Api) -> None:
    clients = [await make_client(api, name=f"Client {n}") for n in range(12)]
    answers = await asyncio.gather(
        *(api.patch(f"{CLIENTS}/{client['id']}", json={"email": "wanted@example.com"}) for client in clients)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 11
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"client_email_taken"}


async def test_only_what_is_given_changes_and_blank_empties(shared_api: Api) -> None:
    made = await make_client(shared_api, email=some_email(), phone="123", company="Molinos")
    changed = (await shared_api.patch(f"{CLIENTS}/{made['id']}", json={"phone": ""})).json()
    assert (changed["phone"], changed["company"], changed["email"]) == (None, "Molinos", made["email"])
    changed = (await shared_api.patch(f"{CLIENTS}/{made['id']}", json={"company": None, "name": " Eva "})).json()
    assert (changed["company"], changed["name"]) == (None, "Eva")
    assert changed["updatedAt"] > made["updatedAt"]
    assert changed["createdAt"] == made["createdAt"]


async def test_a_change_that_changes_nothing_leaves_the_etag(shared_api: Api) -> None:
    made = await make_client(shared_api, company="Molinos")
    path = f"{CLIENTS}/{made['id']}"
    before = (await shared_api.get(path)).headers["etag"]
    same = await shared_api.patch(path, json={"company": "Molinos", "name": made["name"]})
    assert same.headers["etag"] == before
    assert (await shared_api.patch(path, json={})).headers["etag"] == before
    assert (await shared_api.get(path, headers={"If-None-Match": before})).status_code == 304


async def test_whoever_was_slower_is_told(shared_api: Api) -> None:
    made = await make_client(shared_api)
    path = f"{CLIENTS}/{made['id']}"
    etag = (await shared_api.get(path)).headers["etag"]
    changed = await shared_api.patch(path, json={"company": "A"}, headers={"If-Match": etag})
    assert changed.status_code == 200
    late = await shared_api.patch(path, json={"company": "B"}, headers={"If-Match": etag})
    assert_problem(late, 412, "precondition_failed")
    assert_problem(await shared_api.delete(path, headers={"If-Match": etag}), 412, "precondition_failed")
    gone = await shared_api.delete(path, headers={"If-Match": changed.headers["etag"]})
    assert gone.status_code == 204


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        ({"name": ""}, "body.name", "too_short"),
        ({"name": None}, "body.name", "string_type"),
        ({}, "body.name", "missing"),
        ({"name": "x" * 256}, "body.name", "too_long"),
        ({"name": "a\nb"}, "body.name", "control_character"),
        ({"name": "A", "email": "nobody"}, "body.email", "value_error"),
        ({"name": "A", "phone": "1" * 51}, "body.phone", "too_long"),
        ({"name": "A", "company": "x" * 256}, "body.company", "too_long"),
        ({"name": "A", "leadId": NOBODY}, "body.leadId", "extra_forbidden"),
    ],
)
async def test_what_is_not_acceptable_is_named(shared_api: Api, body: dict[str, Any], path: str, code: str) -> None:
    told = assert_problem(await shared_api.post(CLIENTS, json=body), 422, "validation_failed")
    assert [(error["path"], error["code"]) for error in told["errors"]] == [(path, code)]


async def test_a_name_cannot_be_emptied(shared_api: Api) -> None:
    made = await make_client(shared_api)
    for name in (None, "", "  "):
        answer = await shared_api.patch(f"{CLIENTS}/{made['id']}", json={"name": name})
        assert_problem(answer, 422, "validation_failed")


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("client_id", [NOBODY, "7", "no-id"])
async def test_nothing_has_this_id(shared_api: Api, method: str, client_id: str) -> None:
    body = {"company": "A"} if method == "PATCH" else None
    answer = await shared_api.request(method, f"{CLIENTS}/{client_id}", json=body)
    assert_problem(answer, 404, "client_not_found" if len(client_id) > 8 else "not_found")


async def test_the_id_of_a_seller_is_no_clients_id(shared_api: Api) -> None:
    seller = await make_seller(shared_api)
    assert_problem(await shared_api.get(f"{CLIENTS}/{seller['id']}"), 404, "client_not_found")


async def test_a_client_with_meetings_stays_unless_they_may_go_too(api: Api, sql: Sql) -> None:
    client = await make_client(api)
    for _ in range(2):
        await make_meeting(api, clientId=client["id"])
    kept = await make_meeting(api)
    path = f"{CLIENTS}/{client['id']}"
    assert assert_problem(await api.delete(path), 409, "client_has_meetings")["meetings"] == 2
    assert assert_problem(await api.delete(f"{path}?cascade=false"), 409, "client_has_meetings")
    assert (await api.delete(f"{path}?cascade=true")).status_code == 204
    assert_problem(await api.get(path), 404, "client_not_found")
    assert [str(row["id"]) for row in await sql("SELECT id FROM meetings")] == [kept["id"]]


async def test_meetings_that_are_made_while_their_client_goes_leave_no_error(api: Api, sql: Sql) -> None:
    client, seller = await make_client(api), await make_seller(api)
    body = {"clientId": client["id"], "sellerId": seller["id"], "meetingAt": "2026-03-10T15:00:00Z"}
    answers = await asyncio.gather(
        *(api.post("/api/v1/meetings", json=body) for _ in range(10)),
        api.delete(f"{CLIENTS}/{client['id']}?cascade=true"),
        *(api.post("/api/v1/meetings", json=body) for _ in range(10)),
    )
    told = {answer.status_code: answer for answer in answers}
    assert set(told) <= {201, 204, 422}
    assert answers[10].status_code == 204
    assert await sql("SELECT 1 FROM meetings") == []
    assert_problem(await api.post("/api/v1/meetings", json=body), 422, "client_not_found")


async def test_pages_show_everyone_once_in_one_order(api: Api, sql: Sql) -> None:
    for number in range(10):
        await make_client(api, name=f"Same {number % 2}")
    await sql("UPDATE clients SET created_at = '2026-01-01'")
    for sort in ("createdAt", "-createdAt", "name", "-name"):
        ids = await walk(api, CLIENTS, sort=sort)
        assert len(set(ids)) == len(ids) == 10
    assert await walk(api, CLIENTS, sort="name") == (await walk(api, CLIENTS, sort="-name"))[::-1]
    meta = (await api.get(CLIENTS, params={"limit": 4, "page": 2})).json()["meta"]
    assert meta == {"total": 10, "page": 2, "take": 4, "totalPages": 3, "totalIsEstimate": False}
    assert_problem(await api.get(f"{CLIENTS}?sort=phone"), 422, "validation_failed")
    assert_problem(await api.get(f"{CLIENTS}?page=1001&take=10"), 400, "page_too_deep")
    assert_problem(await api.get(f"{CLIENTS}?take=5&limit=6"), 422, "validation_failed")


async def test_a_search_finds_name_email_company_and_phone(api: Api) -> None:
    lucia = await make_client(api, name="Lucía Gómez", email="lg@molinos.com", company="Molinos 100%_Sur")
    await make_client(api, name="Bruno Paz", phone="+54 (11) 3456-7890")
    for text in ("LUCÍA", "gómez", "@molinos", "100%", "%_", " sur "):
        assert [row["id"] for row in await listed(api, CLIENTS, search=text)] == [lucia["id"]], text
    assert [row["name"] for row in await listed(api, CLIENTS, search="11-34567890")] == ["Bruno Paz"]
    for text in ("_ucía", "%zz", "\\", "'"):
        assert await listed(api, CLIENTS, search=text) == [], text
    assert len(await listed(api, CLIENTS, search="")) == 2


async def test_what_is_done_to_clients_is_audited_without_their_data(api: Api, sql: Sql) -> None:
    client = await make_client(api, email="secret@example.com")
    await api.patch(f"{CLIENTS}/{client['id']}", json={"phone": "+541134567890"})
    await api.delete(f"{CLIENTS}/{client['id']}")
    rows = await sql("SELECT action, data::text FROM audit_logs WHERE entity_id = %s ORDER BY id", client["id"])
    assert [row["action"] for row in rows] == ["client.create", "client.update", "client.delete"]
    assert not [row for row in rows if "secret" in row["data"] or "3456" in row["data"]]
