"""What connected people are told: after the commit, to those who may see it, and never of what was rolled back."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as aioredis
from api_testkit import Api, Sql, make_lead, run_tasks, until
from conversation_testkit import BACKWARDS, BASE, agent_with, assert_consistent, assign, hear, say, start

from contactship_common.realtime import CHANNEL


class Heard:
    """Every event that was published, in order."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["event"] == name]

    def rooms(self, name: str) -> list[set[str]]:
        return [set(event["rooms"]) for event in self.events if event["event"] == name]

    async def first(self, name: str) -> dict[str, Any]:
        found = await until(lambda: self.named(name), name)
        told: dict[str, Any] = found[0]
        return told


@pytest.fixture
async def heard(redis_url: str) -> AsyncIterator[Heard]:
    listening = Heard()
    async with aioredis.Redis.from_url(redis_url) as client, client.pubsub() as subscription:
        await subscription.subscribe(CHANNEL)

        async def listen() -> None:
            async for message in subscription.listen():
                if message["type"] == "message":
                    told = json.loads(message["data"])
                    if "event" in told:
                        listening.events.append(told)

        task = asyncio.create_task(listen())
        await asyncio.sleep(0)
        yield listening
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_message_is_told_to_its_agent_and_the_administrators(api: Api, heard: Heard) -> None:
    conversation = await start(api)
    agent = await agent_with(api, conversation)
    me = f"user:{agent.headers['x-test-user']}"
    said = await say(agent, conversation)
    assert await heard.first("message:new") == {"conversationId": conversation, "message": said}
    assert heard.rooms("message:new") == [{"admins", me}]


async def test_what_is_told_can_be_read_already(api: Api, heard: Heard, sql: Sql) -> None:
    conversation = await start(api)
    posting = asyncio.gather(*(hear(api, conversation) for _ in range(10)))
    seen = 0
    while seen < 10:
        await until(lambda: len(heard.named("message:new")) > seen, "an event")  # noqa: B023
        event = heard.named("message:new")[seen]
        assert await sql("SELECT 1 AS one FROM messages WHERE id = %s", event["message"]["id"]) == [{"one": 1}]
        seen += 1
    await posting


async def test_an_assignment_is_told_to_the_old_and_the_new_agent(api: Api, heard: Heard) -> None:
    conversation = await start(api)
    one, other = await api.make_user("one@example.com"), await api.make_user("other@example.com")
    await assign(api, conversation, one)
    await assign(api, conversation, other)
    await assign(api, conversation, other)
    await until(lambda: len(heard.named("conversation:assigned")) == 2, "two assignments")
    told = heard.named("conversation:assigned")[1]
    assert (told["previousAgentId"], told["agentId"]) == (one, other)
    assert told["assignedAgent"] == {"id": other, "email": "other@example.com", "name": "Someone"}
    assert heard.rooms("conversation:assigned")[1] == {"admins", f"user:{one}", f"user:{other}"}
    await hear(api, conversation)
    await heard.first("message:new")
    assert heard.rooms("message:new") == [{"admins", f"user:{other}"}]


async def test_closing_and_reading_are_told_once(api: Api, heard: Heard) -> None:
    conversation = await start(api)
    await hear(api, conversation)
    for _ in range(2):
        await api.post(f"{BASE}/{conversation}/read")
        await api.patch(f"{BASE}/{conversation}", json={"status": "CLOSED"})
    await heard.first("conversation:updated")
    assert heard.named("conversation:updated") == [{"conversationId": conversation, "status": "CLOSED"}]
    assert heard.named("message:status") == [{"conversationId": conversation, "status": "READ", "upToSeq": 1}]


async def test_what_was_refused_or_rolled_back_is_never_told(api: Api, heard: Heard, sql: Sql) -> None:
    conversation = await start(api)
    await sql("ALTER TABLE tasks ADD CONSTRAINT none CHECK (kind <> 'conversation.analysis')")
    broken = await api.post(f"{BASE}/{conversation}/messages", json={"contentText": "x"})
    assert broken.status_code == 422  # at the commit, after the event was meant to be told
    await sql("ALTER TABLE tasks DROP CONSTRAINT none")
    first = await api.post("/api/v1/conversations", json={"leadId": str(conversation), "channel": "web"})
    assert first.status_code == 422
    said = await say(api, conversation, "told")
    await heard.first("message:new")
    assert [event["message"]["id"] for event in heard.named("message:new")] == [said["id"]]


async def test_changes_of_leads_are_told_to_everybody(api: Api, heard: Heard) -> None:
    one, other = (await make_lead(api))["id"], (await make_lead(api))["id"]
    await api.patch(f"/api/v1/leads/{one}", json={"status": "contacted"})
    await api.patch(f"/api/v1/leads/{one}", json={"status": "contacted"})
    await api.post(f"/api/v1/leads/{one}/merge", json={"intoId": other})
    await api.delete(f"/api/v1/leads/{other}")
    await until(lambda: len(heard.named("lead:updated")) == 6, "all changes")
    changes = [(event["leadId"], event["change"]) for event in heard.named("lead:updated")]
    assert changes == [
        (one, "created"), (other, "created"), (one, "updated"), (one, "deleted"), (other, "merged"),
        (other, "deleted"),
    ]  # fmt: skip
    assert all(rooms == {"everybody"} for rooms in heard.rooms("lead:updated"))


@pytest.mark.parametrize("fails", [False, True])
async def test_the_end_of_a_task_is_told_to_the_person_who_asked_for_it(api: Api, heard: Heard, fails: bool) -> None:
    agent = await api.client_for()
    one, other = (await make_lead(api))["id"], (await make_lead(api))["id"]
    mine = (await agent.post(f"/api/v1/leads/{one}/summarize")).json()["taskId"]
    machines = (await api.post(f"/api/v1/leads/{other}/summarize")).json()["taskId"]
    await run_tasks(api, machines, mine, fails=fails)
    status = "failed" if fails else "completed"
    told = {"taskId": mine, "kind": "lead.summary", "status": status, "subjectId": one}
    assert await heard.first("task:updated") == told
    assert heard.named("task:updated") == [told]
    assert heard.rooms("task:updated") == [{f"user:{agent.headers['x-test-user']}"}]


async def test_a_cancelled_task_is_told_to_who_asked_for_it_whoever_cancels_it(api: Api, heard: Heard) -> None:
    agent = await api.client_for()
    lead = (await make_lead(api))["id"]
    mine = (await agent.post(f"/api/v1/leads/{lead}/summarize")).json()["taskId"]
    assert (await api.delete(f"/api/v1/tasks/{mine}")).is_success
    told = {"taskId": mine, "kind": "lead.summary", "status": "cancelled", "subjectId": lead}
    assert await heard.first("task:updated") == told
    assert heard.rooms("task:updated") == [{f"user:{agent.headers['x-test-user']}"}]


async def test_a_customer_who_waits_still_waits_after_the_answered_conversation_of_a_double_is_joined(
    api: Api, sql: Sql
) -> None:
    source, target = (await make_lead(api))["id"], (await make_lead(api))["id"]
    answered, waiting = await start(api, source), await start(api, target)
    agent = await agent_with(api, answered)
    await hear(api, waiting, "t1")
    await hear(api, answered, "s1")
    await say(agent, answered, "s2")
    await hear(api, waiting, "t2")
    await hear(api, waiting, "t3")
    assert (await api.post(f"/api/v1/leads/{source}/merge", json={"intoId": target})).status_code == 200
    messages = (await api.get(f"{BASE}/{waiting}/messages", params={"since": 0})).json()["data"]
    assert [(each["seq"], each["contentText"]) for each in messages] == [
        (1, "t1"), (2, "s1"), (3, "s2"), (4, "t2"), (5, "t3")
    ]  # fmt: skip
    joined = (await api.get(f"{BASE}/{waiting}")).json()
    assert (joined["unreplied"], joined["lastMessage"]["contentText"]) == (True, "t3")
    await assert_consistent(sql)
    assert await sql(BACKWARDS) == []


async def test_joined_conversations_are_told_where_they_went(api: Api, heard: Heard, sql: Sql) -> None:
    source, target = (await make_lead(api))["id"], (await make_lead(api))["id"]
    emptied, kept = await start(api, source), await start(api, target)
    agent = await agent_with(api, emptied)
    await hear(api, kept, "t1")
    for text in ("s1", "s2"):
        await hear(api, emptied, text)
    await say(agent, emptied, "s3")
    [alone] = [await start(api, source, "email")]
    assert (await api.post(f"/api/v1/leads/{source}/merge", json={"intoId": target})).status_code == 200
    assert await heard.first("conversation:updated") == {"conversationId": emptied, "mergedInto": kept}
    texts = await sql("SELECT content_text AS t FROM messages WHERE conversation_id = %s ORDER BY seq", kept)
    assert [row["t"] for row in texts] == ["t1", "s1", "s2", "s3"]
    owners = await sql("SELECT id::text, lead_id::text FROM conversations ORDER BY id")
    assert owners == [{"id": kept, "lead_id": target}, {"id": alone, "lead_id": target}]
    left = (await api.get(f"{BASE}/{kept}")).json()
    assert (left["messageCount"], left["unreadCount"], left["unreplied"]) == (4, 3, False)
    assert left["assignedAgentId"] == agent.headers["x-test-user"]
    tasks = await sql("SELECT subject_id::text, status FROM tasks WHERE kind = 'conversation.analysis' ORDER BY status")
    assert tasks == [{"subject_id": emptied, "status": "cancelled"}, {"subject_id": kept, "status": "queued"}]
