"""Posting and reading messages."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead
from conversation_testkit import BASE, agent_with, assert_consistent, hear, say, shown, start

from contactship_api.http.paging import encode_cursor


async def key_with(api: Api, *scopes: str) -> Any:
    made = await api.post("/api/v1/api-keys", json={"name": "Machine", "scopes": list(scopes)})
    return api.client({"x-api-key": made.json()["key"]})


async def test_a_message_shows_in_its_conversation_at_once(api: Api, sql: Sql) -> None:
    conversation = await start(api)
    agent = await agent_with(api, conversation)
    await hear(api, conversation, "¿Cuánto cuesta?")
    before = await shown(agent, conversation)
    assert (before["messageCount"], before["unreadCount"], before["unreplied"]) == (1, 1, True)
    assert before["lastAgentReplyAt"] is None
    said = await say(agent, conversation, "  Buenos días,\r\nson 10 USD ")
    assert said["contentText"] == "Buenos días,\nson 10 USD"
    assert (said["seq"], said["senderType"], said["status"]) == (2, "AGENT", "SENT")
    assert said["senderUserId"] == agent.headers["x-test-user"]
    after = await shown(agent, conversation)
    assert after["lastMessage"] == said
    assert (after["messageCount"], after["unreadCount"], after["unreplied"]) == (2, 1, False)
    assert after["lastMessageAt"] == after["lastAgentReplyAt"] == said["createdAt"]
    assert after["lastMessageSenderType"] == "AGENT"
    await assert_consistent(sql)


async def test_reading_ends_unread_and_says_so_in_the_messages(api: Api, sql: Sql) -> None:
    conversation = await start(api)
    for _ in range(3):
        await hear(api, conversation)
    await say(api, conversation)
    read = await api.post(f"{BASE}/{conversation}/read")
    assert (read.json()["unreadCount"], read.json()["unreplied"]) == (0, False)
    statuses = [m["status"] for m in (await api.get(f"{BASE}/{conversation}/messages")).json()["data"]]
    assert statuses == ["SENT", "READ", "READ", "READ"]
    assert (await api.post(f"{BASE}/{conversation}/read")).json()["updatedAt"] == read.json()["updatedAt"]
    await hear(api, conversation)
    assert (await shown(api, conversation))["unreadCount"] == 1
    await assert_consistent(sql)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "content_text_missing"),
        ({"contentText": None}, "content_text_missing"),
        ({"contentText": " \n "}, "content_text_missing"),
        ({"contentText": "x" * 10_001}, "too_long"),
        ({"contentText": "bell\x07"}, "control_character"),
        ({"contentText": "\u202eevil"}, "control_character"),
        ({"contentText": 7}, "string_type"),
        ({"contentText": ["x"]}, "string_type"),
        ({"contentText": "x", "mediaUrl": "https://example.com/a.png"}, "media_url_unexpected"),
        ({"contentText": "x", "contentType": "text"}, "enum"),
        ({"contentText": "x", "contentType": "IMAGE"}, "media_url_missing"),
        ({"contentType": "FILE", "mediaUrl": ""}, "media_url_missing"),
        ({"contentType": "IMAGE", "mediaUrl": "ftp://example.com/a"}, "url_not_http"),
        ({"contentType": "IMAGE", "mediaUrl": "javascript:alert(1)"}, "url_not_http"),
        ({"contentType": "IMAGE", "mediaUrl": "https://"}, "url_not_http"),
        ({"contentType": "IMAGE", "mediaUrl": "/a.png"}, "url_not_http"),
        ({"contentType": "IMAGE", "mediaUrl": "https://example.com/" + "a" * 2_048}, "too_long"),
        ({"contentType": "IMAGE", "mediaUrl": "https://example.com/\n"}, None),
        ({"contentType": "IMAGE", "mediaUrl": "https://exa\x00mple.com/"}, None),
        ({"contentText": "x", "senderType": "SYSTEM"}, "literal_error"),
        ({"contentText": "x", "status": "READ"}, "extra_forbidden"),
        ({"contentText": "x", "seq": 1}, "extra_forbidden"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_what_is_no_message_is_refused(shared_api: Api, body: dict[str, Any], code: str | None) -> None:
    conversation = await start(shared_api)
    answer = await shared_api.post(f"{BASE}/{conversation}/messages", json=body)
    if code is None and answer.status_code == 201:
        assert answer.json()["mediaUrl"] == "https://example.com/"  # blanks around it are trimmed
        return
    told = assert_problem(answer, answer.status_code)
    assert answer.status_code in (400, 422)
    if code is not None:
        assert {error["code"] for error in told["errors"]} == {code}
    assert (await shown(shared_api, conversation))["messageCount"] == 0


async def test_the_longest_message_and_every_kind_of_media_are_accepted(shared_api: Api) -> None:
    conversation = await start(shared_api)
    assert len((await say(shared_api, conversation, "ñ" * 10_000))["contentText"]) == 10_000
    for kind in ("IMAGE", "FILE", "AUDIO", "VIDEO"):
        body = {"content_type": kind, "media_url": "http://example.com/x"}  # snake_case as well
        answer = await shared_api.post(f"{BASE}/{conversation}/messages", json=body)
        assert answer.status_code == 201, answer.text
        assert (answer.json()["contentType"], answer.json()["contentText"]) == (kind, None)
    assert (await say(shared_api, conversation, "<b>tab\tand 👩‍👩‍👧</b>"))["contentText"] == "<b>tab\tand 👩‍👩‍👧</b>"


async def test_only_machines_with_the_right_say_what_a_lead_wrote(shared_api: Api) -> None:
    conversation = await start(shared_api)
    agent, admin = await agent_with(shared_api, conversation), await shared_api.client_for("ADMIN")
    body, path = {"contentText": "x", "senderType": "LEAD"}, f"{BASE}/{conversation}/messages"
    for person in (agent, admin):
        assert_problem(await person.post(path, json=body), 403, "inbound_not_allowed")
    writer = await key_with(shared_api, "conversations:write")
    assert_problem(await writer.post(path, json=body), 403, "inbound_not_allowed")
    inbound = await key_with(shared_api, "messages:inbound")
    assert (await inbound.post(path, json=body)).status_code == 201
    assert_problem(await inbound.post(path, json={"contentText": "x"}), 403, "forbidden")
    reader = await key_with(shared_api, "conversations:read")
    assert_problem(await reader.post(path, json={"contentText": "x"}), 403, "forbidden")
    assert (await writer.post(path, json={"contentText": "x"})).json()["senderUserId"] is None


async def test_an_agent_answers_only_their_own(shared_api: Api) -> None:
    mine, others = await start(shared_api), await start(shared_api)
    agent = await agent_with(shared_api, mine)
    await say(agent, mine)
    calls: list[tuple[str, str, Any]] = [
        ("GET", "", None), ("PATCH", "", {"status": "CLOSED"}), ("GET", "/messages", None),
        ("POST", "/messages", {"contentText": "x"}), ("POST", "/read", None), ("POST", "/analyze", None),
    ]  # fmt: skip
    for method, path, body in calls:
        assert_problem(await agent.request(method, f"{BASE}/{others}{path}", json=body), 403, "not_your_conversation")
        for unknown in (str(uuid4()), "x"):
            assert_problem(await agent.request(method, f"{BASE}/{unknown}{path}", json=body), 404)
    assert (await shown(shared_api, others))["messageCount"] == 0


async def test_messages_come_newest_first_and_since_a_seq_oldest_first(shared_api: Api) -> None:
    conversation = await start(shared_api)
    for number in range(1, 8):
        await say(shared_api, conversation, f"m{number}")

    async def seqs(**query: Any) -> tuple[list[int], str | None]:
        page = (await shared_api.get(f"{BASE}/{conversation}/messages", params=query)).json()
        return [message["seq"] for message in page["data"]], page["meta"]["nextCursor"]

    assert await seqs() == ([7, 6, 5, 4, 3, 2, 1], None)
    first, cursor = await seqs(limit=3)
    second, cursor = await seqs(limit=3, cursor=cursor)
    assert (first, second, (await seqs(limit=3, cursor=cursor))) == ([7, 6, 5], [4, 3, 2], ([1], None))
    first, cursor = await seqs(limit=2, since=3)
    await say(shared_api, conversation, "m8")
    assert (first, await seqs(since=3, cursor=cursor)) == ([4, 5], ([6, 7, 8], None))
    assert await seqs(since=8) == ([], None)
    assert await seqs(since=2**31 - 1) == ([], None)


async def test_cursors_of_elsewhere_are_refused(shared_api: Api) -> None:
    conversation, other = await start(shared_api), await start(shared_api)
    for each in (conversation, other):
        await say(shared_api, each)
        await say(shared_api, each)
    path = f"{BASE}/{conversation}/messages"
    backwards = (await shared_api.get(f"{path}?limit=1")).json()["meta"]["nextCursor"]
    onwards = (await shared_api.get(f"{path}?limit=1&since=0")).json()["meta"]["nextCursor"]
    of_other = (await shared_api.get(f"{BASE}/{other}/messages?limit=1")).json()["meta"]["nextCursor"]
    made_up = [encode_cursor("messages", seq, conversation) for seq in (True, "1", 2**31, -1, None, 1.5)]
    for cursor in (onwards, of_other, "x", backwards[:-2], *made_up):
        assert_problem(await shared_api.get(path, params={"cursor": cursor}), 400, "bad_cursor")
    assert_problem(await shared_api.get(path, params={"cursor": backwards, "since": 0}), 400, "bad_cursor")
    for cursor in (backwards, encode_cursor("conversations", "soon", conversation)):
        assert_problem(await shared_api.get(BASE, params={"cursor": cursor}), 400, "bad_cursor")
    for query in ("limit=0", "limit=101", "since=-1", "since=x", "since=2147483648", "page=1"):
        assert_problem(await shared_api.get(f"{path}?{query}"), 422, "validation_failed")


async def test_an_answer_to_a_closed_conversation_is_refused_and_a_leads_message_starts_a_new_one(
    api: Api, sql: Sql
) -> None:
    closed = await start(api)
    await api.patch(f"{BASE}/{closed}", json={"status": "CLOSED"})
    refused = await api.post(f"{BASE}/{closed}/messages", json={"contentText": "x"})
    assert_problem(refused, 409, "conversation_closed")
    first = await hear(api, closed)
    assert first["conversationId"] != closed
    again = await hear(api, closed)
    assert (again["conversationId"], again["seq"]) == (first["conversationId"], 2)
    assert (await shown(api, closed))["messageCount"] == 0
    assert_problem(await api.patch(f"{BASE}/{closed}", json={"status": "OPEN"}), 409, "conversation_already_open")
    assert_problem(await api.patch(f"{BASE}/{closed}", json={"status": "PENDING"}), 409, "conversation_already_open")
    await api.patch(f"{BASE}/{first['conversationId']}", json={"status": "CLOSED"})
    assert (await api.patch(f"{BASE}/{closed}", json={"status": "PENDING"})).json()["status"] == "PENDING"
    await assert_consistent(sql)


async def test_the_same_key_posts_once(api: Api, sql: Sql) -> None:
    conversation, key = await start(api), {"idempotency-key": "m-1"}
    path, body = f"{BASE}/{conversation}/messages", {"contentText": "once"}
    answers = await asyncio.gather(*(api.post(path, json=body, headers=key) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    again = await api.post(path, json=body, headers=key)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert await sql("SELECT count(*)::int AS n FROM messages") == [{"n": 1}]
    assert_problem(await api.post(path, json={"contentText": "x"}, headers=key), 422, "idempotency_key_reused")
    lead = (await make_lead(api))["id"]
    started = {"leadId": lead, "channel": "web"}
    first, second = [await api.post(BASE, json=started, headers={"idempotency-key": "c-1"}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert (await api.post(BASE, json=started)).status_code == 200


async def test_a_new_message_makes_the_leads_summary_stale(api: Api, sql: Sql) -> None:
    lead = (await make_lead(api))["id"]
    conversation = await start(api, lead)
    await sql(
        "UPDATE leads SET summary = 's', next_action = 'n', summary_generated_at = now(),"
        " summary_facts_at = facts_changed_at"
    )
    assert (await api.post(f"/api/v1/leads/{lead}/summarize")).status_code == 200
    await hear(api, conversation)
    assert (await api.post(f"/api/v1/leads/{lead}/summarize")).status_code == 202


async def test_a_whatsapp_message_without_a_number_is_refused_and_leaves_nothing(api: Api, sql: Sql) -> None:
    conversation = await start(api, channel="whatsapp")
    answer = await api.post(f"{BASE}/{conversation}/messages", json={"contentText": "x"})
    assert_problem(answer, 422)
    assert (await shown(api, conversation))["messageCount"] == 0
    lead = await make_lead(api, phone="+54 11 3456-7890")
    reached = await start(api, lead["id"], "whatsapp")
    assert (await say(api, reached))["status"] == "PENDING"
    assert await sql("SELECT count(*)::int AS n FROM tasks WHERE kind = 'delivery.send'") == [{"n": 1}]
    await assert_consistent(sql)
