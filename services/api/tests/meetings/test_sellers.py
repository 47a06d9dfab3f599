"""Sellers: made, replaced, changed, deactivated, deleted."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from api_testkit import Api, Sql, assert_problem
from meetings_testkit import SELLERS, listed, make_client, make_meeting, make_seller, some_email, walk

FULL = {"name": "Eva Ríos", "email": "eva@example.com", "phone": "+54 9 11 5555", "prompt": "Be brief.\n\tIn Spanish."}


async def test_a_new_seller_is_active_and_can_be_read_again(api: Api) -> None:
    user_id = await api.make_user("eva.user@example.com")
    made = await make_seller(api, **FULL, userId=user_id)
    assert (made["active"], made["userId"], made["prompt"]) == (True, user_id, FULL["prompt"])
    assert (await api.get(f"{SELLERS}/{made['id']}")).json() == made


async def test_put_empties_what_it_leaves_out_and_patch_keeps_it(api: Api) -> None:
    user_id = await api.make_user("eva.user@example.com")
    made = await make_seller(api, **FULL, userId=user_id, active=False)
    path = f"{SELLERS}/{made['id']}"
    patched = (await api.patch(path, json={"phone": ""})).json()
    assert patched == made | {"phone": None, "updatedAt": patched["updatedAt"]}
    put = (await api.root.put(path, json={"name": "Eva", "email": FULL["email"]})).json()
    assert (put["name"], put["phone"], put["prompt"], put["userId"], put["active"]) == ("Eva", None, None, None, True)
    assert (put["id"], put["createdAt"]) == (made["id"], made["createdAt"])
    assert_problem(await api.root.put(path, json={"name": "Eva"}), 422, "validation_failed")
    assert_problem(await api.root.put(f"{SELLERS}/{uuid4()}", json=FULL), 404, "seller_not_found")


@pytest.mark.parametrize("field", ["name", "email", "active"])
async def test_what_every_seller_has_cannot_be_emptied(shared_api: Api, field: str) -> None:
    made = await make_seller(shared_api)
    answer = await shared_api.patch(f"{SELLERS}/{made['id']}", json={field: None})
    assert assert_problem(answer, 422)["errors"][0]["code"] == "null_not_allowed"


@pytest.mark.parametrize(
    "changes",
    [
        {"email": ""},
        {"email": None},
        {"name": " "},
        {"active": "yes"},
        {"active": None},
        {"prompt": "x" * 2_001},
        {"prompt": "a\x1bb"},
        {"userId": "me"},
        {"phone": "1" * 51},
    ],
)
async def test_what_is_not_acceptable_is_refused(shared_api: Api, changes: dict[str, Any]) -> None:
    body = {"name": "Eva", "email": some_email()} | changes
    assert_problem(await shared_api.post(SELLERS, json=body), 422, "validation_failed")


async def test_an_unknown_user_is_refused(shared_api: Api) -> None:
    body = {"name": "Eva", "email": some_email(), "userId": str(uuid4())}
    assert_problem(await shared_api.post(SELLERS, json=body), 422, "user_not_found")
    made = await make_seller(shared_api, userId="")
    path = f"{SELLERS}/{made['id']}"
    assert_problem(await shared_api.patch(path, json={"userId": str(uuid4())}), 422, "user_not_found")
    assert_problem(await shared_api.root.put(path, json=body), 422, "user_not_found")


async def test_fifty_creations_changes_and_replacements_at_once_make_no_second_holder_of_an_email(
    api: Api, sql: Sql
) -> None:
    others = [await make_seller(api) for _ in range(16)]
    body = {"name": "Eva", "email": "One@Example.com"}
    answers = await asyncio.gather(
        *(api.post(SELLERS, json=body) for _ in range(18)),
        *(api.root.put(f"{SELLERS}/{other['id']}", json=body) for other in others),
        *(api.patch(f"{SELLERS}/{other['id']}", json={"email": body["email"]}) for other in others),
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    [row] = await sql("SELECT id FROM sellers WHERE email = 'one@example.com'")
    winners = {answer.json()["id"] for answer in answers if answer.status_code < 300}
    assert winners == {str(row["id"])}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"seller_email_taken"}


async def test_a_taken_email_names_its_seller(shared_api: Api) -> None:
    first, second = await make_seller(shared_api), await make_seller(shared_api)
    body = {"name": "Other", "email": first["email"].upper()}
    for answer in (
        await shared_api.post(SELLERS, json=body),
        await shared_api.root.put(f"{SELLERS}/{second['id']}", json=body),
        await shared_api.patch(f"{SELLERS}/{second['id']}", json=body),
    ):
        assert assert_problem(answer, 409, "seller_email_taken")["sellerId"] == first["id"]


async def test_the_active_ones_are_a_list_and_no_id(api: Api) -> None:
    active, _ = await make_seller(api, name="B"), await make_seller(api, name="A", active=False)
    assert [row["id"] for row in await listed(api, f"{SELLERS}/active")] == [active["id"]]
    assert len(await listed(api, SELLERS)) == 2
    assert [row["name"] for row in await listed(api, SELLERS, active="false")] == ["A"]
    assert (await api.patch(f"{SELLERS}/{active['id']}", json={"active": False})).status_code == 200
    assert await listed(api, f"{SELLERS}/active") == []
    assert_problem(await api.patch(f"{SELLERS}/active", json={"active": True}), 405, "method_not_allowed")


async def test_a_seller_with_meetings_stays(api: Api) -> None:
    seller = await make_seller(api)
    meeting = await make_meeting(api, sellerId=seller["id"])
    path = f"{SELLERS}/{seller['id']}"
    assert assert_problem(await api.delete(path), 409, "seller_has_meetings")["meetings"] == 1
    assert (await api.delete(f"/api/v1/meetings/{meeting['id']}")).status_code == 204
    assert (await api.delete(path)).status_code == 204
    assert_problem(await api.get(path), 404, "seller_not_found")


async def test_a_seller_who_gets_a_meeting_while_they_are_deleted_has_it_or_is_gone(api: Api, sql: Sql) -> None:
    client = await make_client(api)
    for _ in range(8):
        seller = await make_seller(api)
        body = {"clientId": client["id"], "sellerId": seller["id"], "meetingAt": "2026-03-10T15:00:00Z"}
        made, deleted = await asyncio.gather(
            api.post("/api/v1/meetings", json=body), api.delete(f"{SELLERS}/{seller['id']}")
        )
        assert (made.status_code, deleted.status_code) in {(201, 409), (422, 204)}, made.text + deleted.text


async def test_pages_show_everyone_once_in_one_order(api: Api) -> None:
    for number in range(7):
        await make_seller(api, name=f"Same {number % 2}")
    for sort in ("createdAt", "name"):
        ids = await walk(api, SELLERS, sort=sort)
        assert len(set(ids)) == 7
        assert ids == (await walk(api, SELLERS, sort=f"-{sort}"))[::-1]
    assert len(await listed(api, SELLERS, search="SAME 1")) == 3


async def test_writing_sellers_is_for_administrators(api: Api) -> None:
    seller = await make_seller(api)
    agent = await api.client_for("SALES_AGENT")
    assert (await agent.get(f"{SELLERS}/{seller['id']}")).status_code == 200
    assert_problem(await agent.post(SELLERS, json=FULL), 403, "forbidden")
    assert_problem(await agent.put(f"{SELLERS}/{seller['id']}", json=FULL), 403, "forbidden")


async def test_a_seller_whose_user_is_deleted_stays(api: Api, sql: Sql) -> None:
    user_id = await api.make_user("eva.user@example.com")
    seller = await make_seller(api, userId=user_id)
    await sql("DELETE FROM users WHERE id = %s", user_id)
    assert (await api.get(f"{SELLERS}/{seller['id']}")).json()["userId"] is None
