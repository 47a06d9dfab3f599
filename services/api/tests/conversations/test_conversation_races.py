"""Many at once: nothing is lost, doubled or contradictory."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from api_testkit import Api, MakeApi, Sql, make_lead
from conversation_testkit import BACKWARDS, BASE, assert_consistent, hear, shown, start


async def post(api: Api, conversation: str, text: str, sender: str) -> Any:
    return await api.post(f"{BASE}/{conversation}/messages", json={"contentText": text, "senderType": sender})


async def test_forty_writers_of_both_kinds_leave_no_gap_and_no_contradiction(api: Api, sql: Sql) -> None:
    lead = (await make_lead(api))["id"]
    web, email = await start(api, lead), await start(api, lead, "email")

    async def write(writer: int) -> list[Any]:
        sender = "LEAD" if writer % 2 else "AGENT"
        return [await post(api, email if writer % 4 == 3 else web, f"{writer} {n}", sender) for n in range(5)]

    answers = [answer for several in await asyncio.gather(*map(write, range(40))) for answer in several]
    assert Counter(answer.status_code for answer in answers) == {201: 200}
    await assert_consistent(sql)
    assert await sql(BACKWARDS) == []
    for conversation, count in ((web, 150), (email, 50)):
        stored = [m["seq"] for m in (await everything(api, conversation))]
        assert stored == list(range(1, count + 1))
        told = [answer.json() for answer in answers if answer.json()["conversationId"] == conversation]
        assert sorted(message["seq"] for message in told) == stored
    assert (await shown(api, web))["lastMessage"]["seq"] == 150


async def everything(api: Api, conversation: str) -> list[dict[str, Any]]:
    """All messages as a client that catches up reads them."""
    seen: list[dict[str, Any]] = []
    while True:
        since = seen[-1]["seq"] if seen else 0
        page = await api.get(f"{BASE}/{conversation}/messages", params={"since": since, "limit": 100})
        if not page.json()["data"]:
            return seen
        seen += page.json()["data"]


async def test_a_client_that_catches_up_by_seq_misses_nothing_while_others_write(api: Api) -> None:
    conversation = await start(api)
    writing = asyncio.gather(*(post(api, conversation, str(n), "LEAD" if n % 2 else "AGENT") for n in range(60)))
    seen: list[int] = []
    while True:
        done = writing.done()
        query = {"since": seen[-1] if seen else 0}
        page = (await api.get(f"{BASE}/{conversation}/messages", params=query)).json()
        seen += [message["seq"] for message in page["data"]]
        if done and not page["data"]:
            break
    assert seen == list(range(1, 61))


async def test_fifty_starts_at_once_make_one_conversation(api: Api, sql: Sql) -> None:
    lead = (await make_lead(api))["id"]
    body = {"leadId": lead, "channel": "web"}
    answers = await asyncio.gather(*(api.post(BASE, json=body) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await sql("SELECT count(*)::int AS n FROM conversations") == [{"n": 1}]


async def test_twenty_inbound_messages_to_a_closed_conversation_start_one_new_one(api: Api, sql: Sql) -> None:
    closed = await start(api)
    await api.patch(f"{BASE}/{closed}", json={"status": "CLOSED"})
    messages = await asyncio.gather(*(hear(api, closed, f"m{n}") for n in range(20)))
    [new] = {message["conversationId"] for message in messages}
    assert new != closed
    assert sorted(message["seq"] for message in messages) == list(range(1, 21))
    assert await sql("SELECT count(*)::int AS n FROM conversations") == [{"n": 2}]
    await assert_consistent(sql)


async def test_closing_and_inbound_racing_lose_no_message(api: Api, sql: Sql) -> None:
    first = await start(api)

    async def close_all() -> None:
        for _ in range(15):
            for row in await sql("SELECT id::text FROM conversations WHERE status <> 'CLOSED'"):
                answer = await api.patch(f"{BASE}/{row['id']}", json={"status": "CLOSED"})
                assert answer.status_code == 200, answer.text

    closing = asyncio.create_task(close_all())
    messages = await asyncio.gather(*(hear(api, first, f"m{n}") for n in range(40)))
    await closing
    stored = await sql("SELECT id::text, content_text FROM messages")
    assert {row["id"] for row in stored} == {message["id"] for message in messages}
    assert sorted(row["content_text"] for row in stored) == sorted(f"m{n}" for n in range(40))
    await assert_consistent(sql)


async def test_reading_and_writing_at_once_keep_the_count_of_the_unread(api: Api, sql: Sql) -> None:
    conversation = await start(api)
    reads = [api.post(f"{BASE}/{conversation}/read") for _ in range(20)]
    await asyncio.gather(*(hear(api, conversation, str(n)) for n in range(20)), *reads)
    await assert_consistent(sql)


@pytest.mark.parametrize("attempt", range(2))
async def test_merging_while_both_leads_write_joins_their_conversations_without_loss(
    make_api: MakeApi, sql: Sql, attempt: int
) -> None:
    api = await make_api(db_pool_size=20)
    source, target = (await make_lead(api))["id"], (await make_lead(api))["id"]
    conversations = [await start(api, lead, channel) for lead in (source, target) for channel in ("web", "email")]
    for conversation in conversations:
        await hear(api, conversation, "before")
    answers: list[Any] = []

    async def write(conversation: str) -> None:
        answers.extend([await post(api, conversation, str(n), "LEAD" if n % 2 else "AGENT") for n in range(10)])

    async def begin(lead: str) -> None:
        for channel in ("sms", "whatsapp") * 3:
            answer = await api.post(BASE, json={"leadId": lead, "channel": channel})
            assert answer.status_code in (200, 201, 422), answer.text
            if answer.status_code < 300:
                answers.append(await post(api, answer.json()["id"], "hola", "LEAD"))

    writers = [*(write(conversation) for conversation in conversations), begin(source), begin(target)]
    merging = api.post(f"/api/v1/leads/{source}/merge", json={"intoId": target})
    _, merged = await asyncio.gather(asyncio.gather(*writers), merging)
    assert merged.status_code == 200, merged.text
    # What was refused was refused because its conversation is gone by now; nobody met a deadlock.
    assert {answer.status_code for answer in answers} <= {201, 404, 409}
    kept = {row["id"] for row in await sql("SELECT id::text FROM messages")}
    assert {answer.json()["id"] for answer in answers if answer.status_code == 201} <= kept
    assert await sql(BACKWARDS) == []
    assert await sql("SELECT 1 FROM conversations WHERE lead_id <> %s", target) == []
    assert await sql("SELECT count(*)::int AS n FROM messages WHERE content_text = 'before'") == [{"n": 4}]
    await assert_consistent(sql)


@pytest.mark.parametrize("attempt", range(2))
async def test_deleting_a_lead_while_it_writes_leaves_nothing_behind(api: Api, sql: Sql, attempt: int) -> None:
    lead = (await make_lead(api))["id"]
    conversation = await start(api, lead)

    async def write() -> list[int]:
        return [(await post(api, conversation, "x", "LEAD")).status_code for _ in range(5)]

    writing = [asyncio.create_task(write()) for _ in range(6)]
    await hear(api, conversation)
    deleted = await api.delete(f"/api/v1/leads/{lead}")
    assert deleted.status_code == 204, deleted.text
    assert {status for several in await asyncio.gather(*writing) for status in several} <= {201, 404}
    assert await sql("SELECT 1 FROM messages UNION ALL SELECT 1 FROM conversations") == []
    tasks = await sql("SELECT status FROM tasks WHERE kind = 'conversation.analysis'")
    assert {task["status"] for task in tasks} == {"cancelled"}
