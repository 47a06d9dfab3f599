"""What comes in is stored once, whatever it is, and can be looked at and replayed."""

import asyncio
import json
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest
from api_testkit import Sql, assert_problem
from webhooks_testkit import Hooks

MESSAGE = {"eventName": "message.incoming", "data": {"id": "m1", "from": "5491155551234", "body": "Hola, soy Ana"}}


async def inbox_of(sql: Sql) -> list[dict[str, Any]]:
    return await sql("SELECT * FROM webhook_inbox ORDER BY id")


async def test_the_same_event_again_is_a_duplicate_and_is_queued_while_it_is_unhandled(hooks: Hooks, sql: Sql) -> None:
    assert (await hooks.builderbot(MESSAGE)).json() == {"success": True, "duplicate": False}
    await sql("UPDATE tasks SET status = 'failed', slot = NULL, finished_at = now()")
    assert (await hooks.builderbot(MESSAGE)).json() == {"success": True, "duplicate": True}
    tasks = await sql("SELECT status FROM tasks ORDER BY id")
    assert [task["status"] for task in tasks] == ["failed", "queued"]
    await sql("UPDATE tasks SET status = 'succeeded', slot = NULL, finished_at = now()")
    await sql("UPDATE webhook_inbox SET handled_at = now()")
    assert (await hooks.builderbot(MESSAGE)).json() == {"success": True, "duplicate": True}
    assert len(await sql("SELECT 1 FROM tasks")) == 2
    assert len(await inbox_of(sql)) == 1


async def test_fifty_at_once_are_one_entry_and_one_task(hooks: Hooks, sql: Sql) -> None:
    answers = await asyncio.gather(*(hooks.builderbot(MESSAGE) for _ in range(50)))
    assert [answer.status_code for answer in answers] == [200] * 50
    assert sum(not answer.json()["duplicate"] for answer in answers) == 1
    assert (len(await inbox_of(sql)), len(await sql("SELECT 1 FROM tasks"))) == (1, 1)


async def test_each_event_of_an_array_is_its_own(hooks: Hooks, sql: Sql) -> None:
    other = {"eventName": "message.incoming", "data": {"id": "m2", "from": "5491155551234", "body": "Otra"}}
    assert (await hooks.builderbot([MESSAGE, other, MESSAGE])).json()["duplicate"] is False
    assert [json.loads(row["body"]) for row in await inbox_of(sql)] == [MESSAGE, other]
    third = MESSAGE | {"data": MESSAGE["data"] | {"id": "m3"}}  # type: ignore[operator]
    assert (await hooks.builderbot([MESSAGE, third])).json()["duplicate"] is False
    assert len(await inbox_of(sql)) == 3
    assert (await hooks.builderbot([])).json() == {"success": True, "duplicate": False}


@pytest.mark.parametrize("count", [1_000, 1_001, 40_000])
async def test_a_long_array_is_stored_too(hooks: Hooks, sql: Sql, count: int) -> None:
    assert (await hooks.builderbot([*range(count)])).status_code == 200
    [row] = await sql("SELECT count(*) AS n FROM webhook_inbox")
    assert row["n"] == (count if count <= 1_000 else 1)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"null", b'"\\ud800"', b"[[[[", b'{"id": "\\u0000a"}', b"7"])
async def test_what_cannot_be_read_is_stored_as_it_is(hooks: Hooks, sql: Sql, body: bytes) -> None:
    assert (await hooks.elevenlabs(body)).status_code == 200
    assert (await hooks.builderbot(body)).status_code == 200
    assert bytes((await inbox_of(sql))[0]["body"]) == body


async def test_keys_are_bounded_and_stay_different(hooks: Hooks, sql: Sql) -> None:
    for end in ("a", "b"):
        assert (await hooks.elevenlabs({"id": "x" * 250 + end})).json()["duplicate"] is False
        event = {"type": "post_call_audio", "data": {"conversation_id": "x" * 250 + end}}
        assert (await hooks.elevenlabs(event)).json()["duplicate"] is False
    assert len(await inbox_of(sql)) == 4


async def test_bodies_have_their_limits(hooks: Hooks, sql: Sql) -> None:
    audio = {"type": "post_call_audio", "data": {"conversation_id": "c", "full_audio": "A" * (24 * 1024 * 1024)}}
    assert (await hooks.elevenlabs(audio)).status_code == 200
    assert_problem(await hooks.elevenlabs(b" " * (25 * 1024 * 1024 + 1)), 413)
    assert_problem(await hooks.builderbot(b" " * (1024 * 1024 + 1)), 413)
    assert_problem(await hooks.twilio({"MessageSid": "S", "Body": "x" * 1024 * 1024}), 413)
    assert len(await inbox_of(sql)) == 1


async def test_an_admin_reads_the_inbox_and_no_personal_data(hooks: Hooks) -> None:
    await hooks.builderbot(MESSAGE)
    await hooks.elevenlabs(b"{")
    await hooks.twilio({"MessageSid": "SM1", "From": "+5491155551234", "Body": "Soy ana.paz@example.com"})
    page = (await hooks.api.get("/api/v1/webhooks/inbox")).json()
    shown = [(entry["provider"], entry["kind"], entry["handledAt"], entry["attempts"]) for entry in page["data"]]
    assert shown == [
        ("twilio", "sms_inbound", None, 0), ("elevenlabs", "call", None, 0), ("builderbot", "whatsapp", None, 0),
    ]  # fmt: skip
    assert "55551234" not in json.dumps(page)
    assert "ana.paz" not in json.dumps(page)
    assert "Hola, soy Ana" in page["data"][2]["bodyPreview"]
    assert page["data"][1]["bodyPreview"] == "{"
    one = await hooks.api.get(f"/api/v1/webhooks/inbox/{page['data'][0]['id']}")
    assert one.json() == page["data"][0]


async def test_the_inbox_is_filtered_and_walked(hooks: Hooks, sql: Sql) -> None:
    for n in range(5):
        await hooks.elevenlabs({"event_id": n})
    await hooks.twilio({"MessageSid": "SM1"})
    await sql("UPDATE webhook_inbox SET handled_at = now() WHERE key IN ('elevenlabs:event:1', 'elevenlabs:event:3')")
    get = hooks.api.get
    unhandled = (await get("/api/v1/webhooks/inbox", params={"handled": "false", "provider": "elevenlabs"})).json()
    assert [entry["key"][-1] for entry in unhandled["data"]] == ["4", "2", "0"]
    handled = (await get("/api/v1/webhooks/inbox?handled=true")).json()
    assert [entry["key"][-1] for entry in handled["data"]] == ["3", "1"]
    walked, cursor = [], None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await get("/api/v1/webhooks/inbox", params=query)).json()
        walked += [entry["id"] for entry in page["data"]]
        if not (cursor := page["meta"]["nextCursor"]):
            break
    assert walked == [str(row["id"]) for row in reversed(await inbox_of(sql))]
    assert_problem(await get("/api/v1/webhooks/inbox?cursor=x"), 400, "bad_cursor")


async def test_an_entry_is_replayed_and_audited(hooks: Hooks, sql: Sql) -> None:
    await hooks.builderbot(MESSAGE)
    [entry] = await inbox_of(sql)
    await sql("UPDATE tasks SET status = 'failed', slot = NULL, finished_at = now()")
    answer = await hooks.api.post(f"/api/v1/webhooks/inbox/{entry['id']}/replay")
    assert answer.status_code == 202
    told = answer.json()
    assert answer.headers["location"] == f"/api/v1/tasks/{told['taskId']}"
    again = await hooks.api.post(f"/api/v1/webhooks/inbox/{entry['id']}/replay")
    assert again.json() == told
    rows = await sql("SELECT entity_id FROM audit_logs WHERE action = 'webhook.replay'")
    assert [row["entity_id"] for row in rows] == [str(entry["id"])] * 2


async def test_what_has_no_body_any_more_is_not_replayed(hooks: Hooks, sql: Sql) -> None:
    await hooks.builderbot(MESSAGE)
    await sql("UPDATE webhook_inbox SET body = NULL, handled_at = now()")
    [entry] = await inbox_of(sql)
    assert_problem(await hooks.api.post(f"/api/v1/webhooks/inbox/{entry['id']}/replay"), 409, "inbox_entry_emptied")
    assert (await hooks.api.get(f"/api/v1/webhooks/inbox/{entry['id']}")).json()["bodyPreview"] is None
    for missing in (uuid4(), "x"):
        assert_problem(await hooks.api.post(f"/api/v1/webhooks/inbox/{missing}/replay"), 404)
        assert_problem(await hooks.api.get(f"/api/v1/webhooks/inbox/{missing}"), 404)


async def test_twilio_itself_is_answered_in_its_own_language(hooks: Hooks) -> None:
    form = {"MessageSid": "SM1", "From": "+5491155551234", "To": "+14155550100", "Body": "Hola"}
    theirs = {"user-agent": "TwilioProxy/1.1", "i-twilio-idempotency-token": "4e0f"}
    first, again = await hooks.twilio(form, **theirs), await hooks.twilio(form, **theirs)
    for answer, duplicate in ((first, "false"), (again, "true")):
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
        assert ElementTree.fromstring(answer.text).tag == "Response"  # ours
        assert answer.headers["x-duplicate"] == duplicate
    assert (await hooks.twilio(form)).json() == {"success": True, "duplicate": True}, "to anybody else as ever"
