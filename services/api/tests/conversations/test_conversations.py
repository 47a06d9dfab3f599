"""Starting, listing, assigning, closing: what each caller sees of conversations."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead
from conversation_testkit import BASE, agent_with, assign, hear, many, say, shown, start, walk

FIELDS = {
    "id", "leadId", "lead", "channel", "status", "assignedAgentId", "assignedAgent", "messageCount", "unreadCount",
    "unreplied", "lastMessage", "lastMessageAt", "lastMessageSenderType", "lastAgentReplyAt", "aiSummary", "aiPriority",
    "aiTags", "aiUpdatedAt", "createdAt", "updatedAt",
}  # fmt: skip


async def ids(client: Any, **query: Any) -> list[str]:
    return [row["id"] for row in await walk(client, **query)]


async def test_a_new_one_is_201_and_the_open_one_200(api: Api) -> None:
    lead = await make_lead(api)
    first = await api.post(BASE, json={"leadId": lead["id"], "channel": "web"})
    assert first.status_code == 201
    body = first.json()
    assert body.keys() == FIELDS
    assert first.headers["location"] == f"{BASE}/{body['id']}"
    assert body["lead"] == (await api.get(f"/api/v1/leads/{lead['id']}")).json()
    assert (body["status"], body["messageCount"], body["lastMessage"], body["unreplied"]) == ("OPEN", 0, None, False)
    again = await api.post(BASE, json={"lead_id": lead["id"], "channel": "web"})
    assert (again.status_code, again.json()) == (200, body)
    assert (await api.get(f"{BASE}/{body['id']}")).json() == body
    assert (await api.post(BASE, json={"leadId": lead["id"], "channel": "email"})).status_code == 201
    await api.patch(f"{BASE}/{body['id']}", json={"status": "PENDING"})
    assert (await api.post(BASE, json={"leadId": lead["id"], "channel": "web"})).status_code == 200
    await api.patch(f"{BASE}/{body['id']}", json={"status": "CLOSED"})
    assert (await api.post(BASE, json={"leadId": lead["id"], "channel": "web"})).status_code == 201


async def test_a_new_one_is_its_agents_or_the_leads_owners(api: Api, sql: Sql) -> None:
    agent, other = await api.client_for(), await api.client_for()
    me, them = agent.headers["x-test-user"], other.headers["x-test-user"]
    lead = await make_lead(api, ownerId=them)
    of_owner = await start(api, lead["id"])
    assert (await shown(other, of_owner))["assignedAgent"]["id"] == them
    refused = await agent.post(BASE, json={"leadId": lead["id"], "channel": "web"})
    assert_problem(refused, 403, "not_your_conversation")
    mine = await start(api, lead["id"], "sms", agent)
    assert (await shown(agent, mine))["assignedAgentId"] == me
    await sql("UPDATE users SET active = false WHERE id = %s", them)
    assert (await shown(api, await start(api, lead["id"], "email")))["assignedAgentId"] is None


NO_LEAD = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"  # a constant: test processes must collect the same names


@pytest.mark.parametrize(
    "body",
    [
        {}, {"leadId": "x", "channel": "web"}, {"leadId": NO_LEAD}, {"leadId": NO_LEAD, "channel": "fax"},
        {"leadId": NO_LEAD, "channel": "WEB"}, {"leadId": NO_LEAD, "channel": "web", "status": "OPEN"}, [],
    ],
    ids=str,
)  # fmt: skip
async def test_what_starts_no_conversation_is_refused(shared_api: Api, body: Any) -> None:
    assert_problem(await shared_api.post(BASE, json=body), 422, "validation_failed")


async def test_unknown_leads_agents_and_statuses_are_refused(shared_api: Api, sql: Sql) -> None:
    unknown = {"leadId": str(uuid4()), "channel": "web"}
    assert_problem(await shared_api.post(BASE, json=unknown), 422, "conversation_lead_not_found")
    conversation = await start(shared_api)
    for status in ("open", "", None, 1):
        assert_problem(await shared_api.patch(f"{BASE}/{conversation}", json={"status": status}), 422)
    assert_problem(await shared_api.patch(f"{BASE}/{conversation}", json={}), 422, "validation_failed")
    path = f"{BASE}/{conversation}/assign"
    assert_problem(await shared_api.post(path, json={"agentId": str(uuid4())}), 422, "agent_not_found")
    for body in ({}, {"agentId": "x"}, {"agentId": 1}):
        assert_problem(await shared_api.post(path, json=body), 422, "validation_failed")
    assert_problem(await shared_api.post(f"{BASE}/{uuid4()}/assign", json={"agentId": None}), 404)


async def test_an_inactive_agent_gets_no_conversation(api: Api, sql: Sql) -> None:
    agent = await api.make_user("gone@example.com")
    await sql("UPDATE users SET active = false WHERE id = %s", agent)
    answer = await api.post(f"{BASE}/{await start(api)}/assign", json={"agentId": agent})
    assert_problem(answer, 422, "agent_not_found")


async def test_an_assignment_changes_at_once_what_each_agent_sees_everywhere(api: Api) -> None:
    lead = await make_lead(api)
    conversation = await start(api, lead["id"])
    await hear(api, conversation, "un texto inconfundible")
    task = (await api.post(f"{BASE}/{conversation}/analyze")).json()["taskId"]
    one, other = await api.client_for(), await api.client_for()

    async def sees(client: Any) -> tuple[int, int, int, int, int, int]:
        metrics = (await client.get("/api/v1/dashboard/metrics")).json()
        timeline = (await client.get(f"/api/v1/leads/{lead['id']}/timeline")).json()["data"]
        return (
            (await client.get(f"{BASE}/{conversation}")).status_code,
            len(await ids(client)),
            len(await ids(client, search="inconfundible")),
            metrics["totalConversations"],
            (await client.get(f"/api/v1/tasks/{task}")).status_code,
            len([item for item in timeline if item["type"] == "message"]),
        )

    nothing, everything = (403, 0, 0, 0, 404, 0), (200, 1, 1, 1, 200, 1)
    assert (await sees(one), await sees(other), await sees(api.root)) == (nothing, nothing, everything)
    for mine, theirs in ((one, other), (other, one)):
        await assign(api, conversation, mine.headers["x-test-user"])
        assert (await sees(mine), await sees(theirs), await sees(api.root)) == (everything, nothing, everything)
    await assign(api, conversation, None)
    assert (await sees(one), await sees(other)) == (nothing, nothing)


async def test_a_filter_by_agent_does_not_widen_what_an_agent_sees(api: Api) -> None:
    one = await agent_with(api, await start(api))
    other = await agent_with(api, await start(api), await start(api))
    assert len(await ids(api, assignedAgentId=other.headers["x-test-user"])) == 2
    assert await ids(one, assignedAgentId=other.headers["x-test-user"]) == []
    assert len(await ids(other, assignedAgentId=other.headers["x-test-user"])) == 2


async def test_the_newest_activity_is_first_and_the_silent_last(api: Api) -> None:
    silent, first, second = [await start(api) for _ in range(3)]
    for conversation in (second, first):
        await say(api, conversation)
    assert await ids(api, limit=1) == [first, second, silent]
    await hear(api, second)
    assert await ids(api) == [second, first, silent]


async def test_each_filter_narrows_the_list(api: Api, sql: Sql) -> None:
    await many(sql, 120)
    total = {row["id"]: row for row in await walk(api, limit=100)}
    assert len(total) == 120
    cases: dict[tuple[str, Any], Any] = {
        ("priority", "HIGH"): lambda row: row["aiPriority"] == "HIGH",
        ("tag", "TAG7 "): lambda row: row["aiTags"] == ["tag7"],
        ("unreplied", "true"): lambda row: row["unreplied"],
        ("unreplied", "false"): lambda row: not row["unreplied"],
        ("status", "PENDING"): lambda row: row["status"] == "PENDING",
        ("channel", "sms"): lambda row: row["channel"] == "sms",
    }
    for (name, value), fits in cases.items():
        expected = [row_id for row_id, row in total.items() if fits(row)]
        assert 0 < len(expected) < 120
        assert await ids(api, limit=7, **{name: value}) == expected, name
    both = await ids(api, limit=100, priority="HIGH", status="OPEN")
    assert both == [i for i, row in total.items() if row["aiPriority"] == "HIGH" and row["status"] == "OPEN"]


@pytest.mark.parametrize(
    "query",
    ["priority=high", "priority=URGENT", f"tag={'x' * 31}", "tag=", "unreplied=maybe", "status=open", "channel=fax",
     "assignedAgentId=me", "limit=0", "limit=101", "limit=x", "page=1", f"search={'x' * 201}", "cursor=%00"],
)  # fmt: skip
async def test_what_is_no_filter_is_refused(shared_api: Api, query: str) -> None:
    assert_problem(await shared_api.get(f"{BASE}?{query}"), 422, "validation_failed")


async def test_search_finds_summary_name_email_phone_and_messages(api: Api, sql: Sql) -> None:
    lead = await make_lead(api, firstName="Zulema", email="zz@example.com", phone="+54 11 3456-7890")
    conversation, other = await start(api, lead["id"]), await start(api)
    await hear(api, conversation, "El 100% de los pedidos_x falló")
    await hear(api, other, "otra cosa")
    await sql("UPDATE conversations SET ai_summary = 'Espera un reembolso' WHERE id = %s", conversation)
    for search in ("zulema", "ZZ@EXAMPLE", "3456-7890", "REEMBOLSO", "pedidos_x", "100%", "falló"):
        assert await ids(api, search=search) == [conversation], search
    for search in ("pedidosyx", "1000", "nobody"):
        assert await ids(api, search=search) == [], search
    assert len(await ids(api, search=" ")) == 2


async def test_the_metrics_count_what_the_caller_sees(api: Api, sql: Sql) -> None:
    nobody = (await api.get("/api/v1/dashboard/metrics")).json()
    none = {"high": 0, "medium": 0, "low": 0, "unanalyzed": 0}
    assert nobody == {"totalConversations": 0, "totalUnreplied": 0, "priorityBreakdown": none}
    mine, other, closed = [await start(api) for _ in range(3)]
    agent = await agent_with(api, mine)
    for conversation in (mine, other, closed):
        await hear(api, conversation)
    await sql("UPDATE conversations SET ai_priority = 'HIGH' WHERE id = %s", mine)
    await api.patch(f"{BASE}/{closed}", json={"status": "CLOSED"})
    everything = (await api.get("/api/v1/dashboard/metrics")).json()
    assert (everything["totalConversations"], everything["totalUnreplied"]) == (3, 2)
    assert everything["priorityBreakdown"] == none | {"high": 1, "unanalyzed": 2}
    theirs = (await agent.get("/api/v1/dashboard/metrics")).json()
    assert (theirs["totalConversations"], theirs["totalUnreplied"]) == (1, 1)
    assert theirs["priorityBreakdown"] == none | {"high": 1}


async def test_a_walk_while_messages_arrive_returns_every_untouched_one_exactly_once(api: Api, sql: Sql) -> None:
    await many(sql, 300)
    everything = await ids(api, limit=100)
    touched = set(everything[::3])
    stop = asyncio.Event()

    async def write(some: list[str]) -> int:
        written = 0
        while not stop.is_set():
            await hear(api, some[written % len(some)])
            written += 1
        return written

    opened = [row["id"] for row in await sql("SELECT id::text FROM conversations WHERE status <> 'CLOSED'")]
    busy = sorted(touched & set(opened))
    writers = [asyncio.create_task(write(busy[n::3])) for n in range(3)]
    seen = await ids(api, limit=5)
    stop.set()
    assert sum(await asyncio.gather(*writers)) > 30
    untouched = [conversation for conversation in everything if conversation not in touched]
    assert [conversation for conversation in seen if conversation not in touched] == untouched


async def test_analysis_is_asked_for_with_a_task_to_follow(api: Api, sql: Sql) -> None:
    conversation = await start(api)
    answer = await api.post(f"{BASE}/{conversation}/analyze")
    assert answer.status_code == 202
    assert answer.json() == {"conversationId": conversation, "taskId": answer.json()["taskId"], "status": "processing"}
    assert answer.headers["location"] == f"/api/v1/tasks/{answer.json()['taskId']}"
    task = (await api.get(answer.headers["location"])).json()
    assert (task["kind"], task["subjectId"]) == ("conversation.analysis", conversation)
    assert (await api.post(f"{BASE}/{conversation}/analyze")).json()["taskId"] == task["id"]


async def test_asking_for_an_analysis_brings_the_waiting_one_forward_for_good(api: Api, sql: Sql) -> None:
    conversation = await start(api)
    await hear(api, conversation)
    [waiting] = await sql("SELECT id::text, run_at > now() AS later FROM tasks")
    assert waiting["later"]
    answer = await api.post(f"{BASE}/{conversation}/analyze")
    assert answer.json()["taskId"] == waiting["id"]
    await hear(api, conversation)
    [task] = await sql("SELECT id::text, run_at <= now() AS due, payload, requested_by FROM tasks")
    assert (task["id"], task["due"], task["requested_by"]) == (waiting["id"], True, "key:root")
    assert task["payload"] == {"conversation_id": conversation, "force": True}


async def test_closing_and_assigning_are_audited(api: Api, sql: Sql) -> None:
    conversation, agent = await start(api), await api.make_user("a@example.com")
    await assign(api, conversation, agent)
    await assign(api, conversation, agent)
    await api.patch(f"{BASE}/{conversation}", json={"status": "CLOSED"})
    rows = await sql("SELECT action FROM audit_logs WHERE entity_id = %s ORDER BY id", conversation)
    assert [row["action"] for row in rows] == ["conversation.open", "conversation.assign", "conversation.status"]
