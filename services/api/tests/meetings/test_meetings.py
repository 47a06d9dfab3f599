"""Meetings: made, changed, closed, listed, deleted."""

import asyncio
from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem
from meetings_testkit import (
    CLIENTS,
    MEETINGS,
    NOBODY,
    SELLERS,
    classify,
    listed,
    make_client,
    make_meeting,
    make_seller,
    some_email,
    walk,
)


async def ids(api: Api, **parameters: Any) -> set[str]:
    return {row["id"] for row in await listed(api, MEETINGS, **parameters)}


async def test_a_meeting_carries_its_client_and_seller(shared_api: Api) -> None:
    client = await make_client(shared_api, email=some_email(), company="Molinos")
    seller = await make_seller(shared_api)
    made = await make_meeting(
        shared_api,
        clientId=client["id"],
        sellerId=seller["id"],
        meetingAt="2026-03-10T12:00:00-03:00",
        durationMinutes=45,
        transcript="Vendedor: hola\r\n\tCliente: hola",
    )
    assert made["client"] == {name: client[name] for name in ("id", "name", "email", "phone", "company", "leadId")}
    assert made["seller"] == {name: seller[name] for name in ("id", "name", "email", "active")}
    assert (made["meetingAt"], made["durationMinutes"]) == ("2026-03-10T15:00:00Z", 45)
    assert made["transcript"] == "Vendedor: hola\n\tCliente: hola"
    assert (made["status"], made["closed"], made["classified"]) == ("open", False, False)
    assert (await shared_api.get(f"{MEETINGS}/{made['id']}")).json() == made
    whole = made.pop("transcript")
    assert await listed(shared_api, MEETINGS, clientId=client["id"]) == [made | {"transcriptPreview": whole}]


async def test_empty_fields_of_a_form_are_null(shared_api: Api) -> None:
    made = await make_meeting(shared_api, durationMinutes="", transcript=" ", status="", closed="")
    assert (made["durationMinutes"], made["transcript"], made["status"]) == (None, None, "open")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, "open"),
        ({"closed": True}, "closed"),
        ({"closed": False}, "open"),
        ({"status": "closed"}, "closed"),
        ({"status": "cancelled", "closed": False}, "cancelled"),
        ({"status": "closed", "closed": True}, "closed"),
    ],
)
async def test_closed_is_true_exactly_when_the_status_is_closed(
    shared_api: Api, given: dict[str, Any], status: str
) -> None:
    made = await make_meeting(shared_api, **given)
    assert (made["status"], made["closed"]) == (status, status == "closed")


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("closed", {"closed": False}, "open"),
        ("cancelled", {"closed": False}, "cancelled"),
        ("open", {"closed": False}, "open"),
        ("open", {"closed": True}, "closed"),
        ("cancelled", {"closed": True}, "closed"),
        ("closed", {"status": "cancelled", "closed": False}, "cancelled"),
        ("closed", {"durationMinutes": 5}, "closed"),
    ],
)
async def test_a_change_of_closed_is_a_change_of_the_status(
    shared_api: Api, before: str, change: dict[str, Any], after: str
) -> None:
    made = await make_meeting(shared_api, status=before)
    changed = (await shared_api.patch(f"{MEETINGS}/{made['id']}", json=change)).json()
    assert (changed["status"], changed["closed"]) == (after, after == "closed")


@pytest.mark.parametrize(
    "given", [{"status": "open", "closed": True}, {"status": "closed", "closed": False}], ids=["open", "closed"]
)
async def test_a_status_that_contradicts_closed_is_refused(shared_api: Api, given: dict[str, Any]) -> None:
    made = await make_meeting(shared_api)
    body = {"clientId": made["clientId"], "sellerId": made["sellerId"], "meetingAt": "2026-03-10T15:00:00Z"} | given
    for answer in (
        await shared_api.post(MEETINGS, json=body),
        await shared_api.patch(f"{MEETINGS}/{made['id']}", json=given),
    ):
        told = assert_problem(answer, 422, "validation_failed")
        assert told["errors"][0]["code"] == "status_contradicts_closed"


async def test_closing_again_changes_nothing(shared_api: Api) -> None:
    made = await make_meeting(shared_api)
    path = f"{MEETINGS}/{made['id']}/close"
    first = await shared_api.patch(path)
    assert (first.status_code, first.json()["closed"]) == (200, True)
    again = await shared_api.patch(path)
    assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
    assert_problem(await shared_api.patch(f"{MEETINGS}/{NOBODY}/close"), 404, "meeting_not_found")


@pytest.mark.parametrize(
    "changes",
    [
        {"meetingAt": "2026-03-10T15:00:00"},
        {"meetingAt": "2026-03-10"},
        {"meetingAt": 1_770_000_000},
        {"meetingAt": ""},
        {"meetingAt": None},
        {"meetingAt": "0001-01-01T00:00:00+14:00"},
        {"durationMinutes": 0},
        {"durationMinutes": 1_441},
        {"durationMinutes": 1.5},
        {"durationMinutes": True},
        {"status": "done"},
        {"closed": "yes"},
        {"transcript": "a\x07b"},
        {"transcript": "x" * 200_001},
        {"clientId": "me"},
        {"sellerId": None},
        {"classified": True},
    ],
    ids=str,
)
async def test_what_is_not_acceptable_is_refused(shared_api: Api, changes: dict[str, Any]) -> None:
    body = {"clientId": NOBODY, "sellerId": NOBODY, "meetingAt": "2026-03-10T15:00:00Z"} | changes
    assert_problem(await shared_api.post(MEETINGS, json=body), 422, "validation_failed")


@pytest.mark.parametrize("field", ["clientId", "sellerId", "meetingAt", "status", "closed"])
async def test_what_every_meeting_has_cannot_be_emptied(shared_api: Api, field: str) -> None:
    made = await make_meeting(shared_api)
    answer = await shared_api.patch(f"{MEETINGS}/{made['id']}", json={field: None})
    assert assert_problem(answer, 422)["errors"][0]["code"] == "null_not_allowed"


async def test_the_longest_transcript_is_kept_whole(shared_api: Api) -> None:
    text = "ñ\n" * 100_000
    made = await make_meeting(shared_api, transcript=text + "  ")
    assert made["transcript"] == text.strip()
    assert len(text) == 200_000
    [listed_one] = await listed(shared_api, MEETINGS, clientId=made["clientId"])
    assert "transcript" not in listed_one, "a page of them would be megabytes"
    assert listed_one["transcriptPreview"] == text[:200]


async def test_unknown_and_inactive_people_get_no_meetings(shared_api: Api) -> None:
    client, seller = await make_client(shared_api), await make_seller(shared_api)
    idle = await make_seller(shared_api, active=False)
    body = {"clientId": client["id"], "sellerId": seller["id"], "meetingAt": "2026-03-10T15:00:00Z"}
    made = await make_meeting(shared_api, **body)
    cases = (
        ({"clientId": seller["id"]}, "client_not_found"),
        ({"sellerId": client["id"]}, "seller_not_found"),
        ({"sellerId": idle["id"]}, "seller_inactive"),
    )
    for change, code in cases:
        assert_problem(await shared_api.post(MEETINGS, json=body | change), 422, code)
        assert_problem(await shared_api.patch(f"{MEETINGS}/{made['id']}", json=change), 422, code)


async def test_a_meeting_keeps_a_seller_who_became_inactive(shared_api: Api) -> None:
    made = await make_meeting(shared_api)
    await shared_api.patch(f"{SELLERS}/{made['sellerId']}", json={"active": False})
    answer = await shared_api.patch(
        f"{MEETINGS}/{made['id']}", json={"sellerId": made["sellerId"], "durationMinutes": 5}
    )
    assert (answer.status_code, answer.json()["seller"]["active"]) == (200, False)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("meeting_id", [NOBODY, "7"])
async def test_nothing_has_this_id(shared_api: Api, method: str, meeting_id: str) -> None:
    body = {"clientId": NOBODY} if method == "PATCH" else None
    answer = await shared_api.request(method, f"{MEETINGS}/{meeting_id}", json=body)
    assert_problem(answer, 404, "meeting_not_found" if meeting_id == NOBODY else "not_found")


async def test_the_transcripts_time_moves_with_the_transcript_only(api: Api, sql: Sql) -> None:
    made = await make_meeting(api)
    path = f"{MEETINGS}/{made['id']}"

    async def moved() -> Any:
        return (await sql("SELECT transcript_changed_at AS at FROM meetings"))[0]["at"]

    assert await moved() is None
    await api.patch(path, json={"transcript": "Hola"})
    first = await moved()
    assert first is not None
    await api.patch(path, json={"transcript": "Hola", "durationMinutes": 5})
    assert await moved() == first
    await api.patch(path, json={"transcript": "Hola otra vez"})
    second = await moved()
    assert second > first
    await api.patch(path, json={"transcript": ""})
    assert await moved() > second
    assert await sql("SELECT 1 FROM tasks") == []  # nobody asked for a classification


async def test_a_change_that_changes_nothing_leaves_the_etag_and_a_slower_one_is_told(shared_api: Api) -> None:
    made = await make_meeting(shared_api, transcript="Hola")
    path = f"{MEETINGS}/{made['id']}"
    etag = (await shared_api.get(path)).headers["etag"]
    same = await shared_api.patch(path, json={"transcript": "Hola", "meetingAt": "2026-03-10T16:00:00+01:00"})
    assert same.headers["etag"] == etag
    assert (await shared_api.get(path, headers={"If-None-Match": etag})).status_code == 304
    await shared_api.patch(f"{CLIENTS}/{made['clientId']}", json={"name": "Renamed"})
    late = await shared_api.patch(path, json={"durationMinutes": 5}, headers={"If-Match": etag})
    assert_problem(late, 412, "precondition_failed")
    assert_problem(await shared_api.delete(path, headers={"If-Match": etag}), 412, "precondition_failed")


async def test_deleting_cancels_what_is_queued_about_it(api: Api, sql: Sql) -> None:
    client = await make_client(api)
    one, two, kept = [await make_meeting(api, clientId=client["id"], transcript="Hola") for _ in range(3)]
    other = await make_meeting(api, transcript="Hola")
    for meeting in (one, two, kept, other):
        await sql(
            "INSERT INTO tasks (id, kind, queue, priority, payload, subject_id, slot, holds, rerun, max_attempts,"
            " run_at, status, run_no, failures) VALUES (gen_random_uuid(), 'meeting.classification', 'ai', 5, '{}',"
            " %s, %s, 'ended', false, 5, now() + interval '1 day', 'queued', 0, 0)",
            meeting["id"],
            f"meeting.classification:{meeting['id']}",
        )

    async def queued() -> set[str]:
        rows = await sql("SELECT subject_id FROM tasks WHERE status = 'queued'")
        return {str(row["subject_id"]) for row in rows}

    assert (await api.delete(f"{MEETINGS}/{one['id']}")).status_code == 204
    assert await queued() == {two["id"], kept["id"], other["id"]}
    assert (await api.delete(f"{CLIENTS}/{client['id']}?cascade=true")).status_code == 204
    assert await queued() == {other["id"]}


async def test_filters_narrow_rows_and_totals(api: Api, sql: Sql) -> None:
    ana, bruno = await make_client(api, name="Ana 100%"), await make_client(api, name="Bruno")
    seller = await make_seller(api, name="Caro_Ruiz")
    a = await make_meeting(api, clientId=ana["id"], sellerId=seller["id"], status="closed")
    b = await make_meeting(api, clientId=bruno["id"], status="cancelled")
    c = await make_meeting(api, clientId=bruno["id"], sellerId=seller["id"])
    await classify(sql, b["id"])
    everything = {a["id"], b["id"], c["id"]}
    for wanted, found in (
        ({}, everything),
        ({"clientId": bruno["id"]}, {b["id"], c["id"]}),
        ({"sellerId": seller["id"]}, {a["id"], c["id"]}),
        ({"sellerId": seller["id"], "clientId": bruno["id"]}, {c["id"]}),
        ({"closed": "true"}, {a["id"]}),
        ({"closed": "false"}, {b["id"], c["id"]}),
        ({"status": "cancelled"}, {b["id"]}),
        ({"classified": "true"}, {b["id"]}),
        ({"classified": "false"}, {a["id"], c["id"]}),
        ({"search": "ANA"}, {a["id"]}),
        ({"search": "100%"}, {a["id"]}),
        ({"search": "caro_"}, {a["id"], c["id"]}),
        ({"search": "%_"}, set()),
        ({"clientId": NOBODY}, set()),
    ):
        assert await ids(api, **wanted) == found, wanted
        meta = (await api.get(MEETINGS, params=wanted)).json()["meta"]
        assert meta["total"] == len(found), wanted
    assert [row["classified"] for row in await listed(api, MEETINGS, status="cancelled")] == [True]


async def test_a_day_counts_whole_and_zones_are_heeded(api: Api) -> None:
    client, seller = await make_client(api), await make_seller(api)
    both = {"clientId": client["id"], "sellerId": seller["id"]}
    early = (await make_meeting(api, **both, meetingAt="2026-03-10T00:00:00Z"))["id"]
    late = (await make_meeting(api, **both, meetingAt="2026-03-10T23:59:59.999999Z"))["id"]
    next_day = (await make_meeting(api, **both, meetingAt="2026-03-10T22:30:00-03:00"))["id"]
    for wanted, found in (
        ({"from": "2026-03-10", "to": "2026-03-10"}, {early, late}),
        ({"to": "2026-03-09"}, set()),
        ({"from": "2026-03-11"}, {next_day}),
        ({"from": "2026-03-11T01:30:00Z"}, {next_day}),
        ({"from": "2026-03-10T22:30:00-03:00"}, {next_day}),
        ({"to": "2026-03-10T22:30:00-03:00"}, {early, late}),
        ({"from": "2026-03-10T00:00:00.000001Z", "to": "2026-03-11"}, {late, next_day}),
        ({"from": "", "to": ""}, {early, late, next_day}),
    ):
        assert await ids(api, **wanted) == found, wanted
    for wrong in (
        {"from": "2026-03-11", "to": "2026-03-10"},
        {"from": "2026-03-11T00:00:00Z", "to": "2026-03-10"},
        {"from": "2026-03-11T00:00:00.000001Z", "to": "2026-03-11T00:00:00Z"},
        {"from": "2026-02-30"},
        {"to": "9999-12-31"},
        {"from": "2026-03-10T10:00:00"},
        {"to": "yesterday"},
        {"from": "20260310"},
        {"from": "1700000000"},
    ):
        assert_problem(await api.get(MEETINGS, params=wrong), 422, "validation_failed")


async def test_pages_show_every_meeting_once_in_one_order(api: Api, sql: Sql) -> None:
    both = {"clientId": (await make_client(api))["id"], "sellerId": (await make_seller(api))["id"]}
    for _ in range(10):
        await make_meeting(api, **both)
    await sql("UPDATE meetings SET created_at = '2026-01-01'")
    for sort in ("meetingAt", "createdAt"):
        found = await walk(api, MEETINGS, sort=sort)
        assert len(set(found)) == len(found) == 10
        assert found == (await walk(api, MEETINGS, sort=f"-{sort}"))[::-1]
    for wrong in ({"sort": "transcript"}, {"closed": "perhaps"}, {"status": "done"}, {"clientId": "7"}, {"x": "1"}):
        answer = await api.get(MEETINGS, params=wrong)
        assert answer.status_code == 422, wrong
    assert_problem(await api.get(f"{MEETINGS}?page=200&take=100"), 400, "page_too_deep")


async def test_changes_at_once_are_all_kept(api: Api) -> None:
    made = await make_meeting(api)
    path = f"{MEETINGS}/{made['id']}"
    changes: list[dict[str, Any]] = [{"durationMinutes": 30}, {"transcript": "Hola"}, {"status": "closed"}]
    answers = await asyncio.gather(*(api.patch(path, json=change) for change in changes * 5))
    assert {answer.status_code for answer in answers} == {200}
    now = (await api.get(path)).json()
    assert (now["durationMinutes"], now["transcript"], now["closed"]) == (30, "Hola", True)


async def test_an_agent_may_do_all_of_this_and_a_reader_only_read(api: Api) -> None:
    made = await make_meeting(api)
    agent = await api.client_for("SALES_AGENT")
    assert (await agent.patch(f"{MEETINGS}/{made['id']}/close")).status_code == 200
    assert (await agent.delete(f"{CLIENTS}/{made['clientId']}?cascade=true")).status_code == 204
    assert_problem(await api.anonymous.get(MEETINGS), 401, "unauthenticated")


async def test_the_same_key_makes_one_meeting(api: Api, sql: Sql) -> None:
    client, seller = await make_client(api), await make_seller(api)
    body = {"clientId": client["id"], "sellerId": seller["id"], "meetingAt": "2026-03-10T15:00:00Z"}
    first, again = [await api.post(MEETINGS, json=body, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert (first.json(), again.headers["idempotent-replayed"]) == (again.json(), "true")
    assert len(await sql("SELECT 1 FROM meetings")) == 1
