"""Every list of conversations is read by an index, asked of the planner itself."""

from typing import Any
from uuid import UUID

import pytest
from api_testkit import Api, Sql
from api_testkit.plans import executed_plans
from conversation_testkit import agent_with, many

from contactship_api.access.permissions import Principal, person, root_key
from contactship_api.conversations import queries
from contactship_api.conversations.queries import ConversationFilter
from contactship_api.http.paging import encode_cursor
from contactship_common.models import Channel, ConversationStatus, Priority, Role
from contactship_common.models.base import new_id

SOMEBODY = UUID("01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f")
FILTERS: list[dict[str, Any]] = [
    {}, {"unreplied": True}, {"unreplied": False}, {"status": ConversationStatus.PENDING}, {"priority": Priority.HIGH},
    {"tag": "tag7"}, {"tag": "nobody's"}, {"channel": Channel.SMS}, {"assigned_agent_id": SOMEBODY},
    {"unreplied": True, "priority": Priority.HIGH, "channel": Channel.WEB},
]  # fmt: skip


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


@pytest.fixture(scope="module")
async def seeded(shared_api: Api) -> Api:
    import psycopg

    async with await psycopg.AsyncConnection.connect(shared_api.database_url, autocommit=True) as connection:

        async def run(statement: str, *parameters: Any) -> list[dict[str, Any]]:
            await connection.execute(statement.encode(), parameters or None)
            return []

        await many(run, 6_000)
    return shared_api


def callers() -> list[Principal]:
    return [root_key(), person(SOMEBODY, "agent@example.com", Role.SALES_AGENT, None)]


@pytest.mark.parametrize("caller", [0, 1], ids=["everything", "an agent's own"])
@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("going_on", [False, True], ids=["first page", "later page"])
async def test_a_page_is_read_by_an_index_and_joins_touch_a_page_only(
    seeded: Api, wanted: dict[str, Any], caller: int, going_on: bool
) -> None:
    position = ("2999-01-01T00:00:00+00:00", str(new_id()))
    cursor = encode_cursor("conversations", *position) if going_on else None

    async def call(session: Any) -> None:
        some = ConversationFilter(**wanted)
        await queries.walk(session, callers()[caller], some, limit=20, cursor=cursor, timeout_ms=2_000)

    [plan] = await executed_plans(seeded, call)
    for node in nodes(plan):
        assert node["Node Type"] != "Seq Scan" or node["Relation Name"] == "users", node
        if node.get("Relation Name") in ("leads", "persons", "messages", "tasks"):
            assert node["Actual Loops"] <= 21, node
            assert node["Actual Rows"] <= 1, node


async def test_messages_are_read_by_their_index(seeded: Api, sql: Sql) -> None:
    async def call(session: Any) -> None:
        for since, name in ((None, "messages"), (3, "messages:since")):
            cursor = encode_cursor(name, 5, str(SOMEBODY))
            await queries.messages(session, SOMEBODY, limit=50, cursor=None, since=since)
            await queries.messages(session, SOMEBODY, limit=50, cursor=cursor, since=since)

    for plan in await executed_plans(seeded, call):
        scans = [node for node in nodes(plan) if "Scan" in node["Node Type"]]
        assert {node.get("Index Name") for node in scans} == {"uq_messages_seq"}, plan
        assert not [node for node in nodes(plan) if node["Node Type"] == "Sort"], plan


async def test_a_leads_timeline_reads_a_page_of_each_conversation(api: Api, sql: Sql) -> None:
    await many(sql, 200)
    [row] = await sql(
        "SELECT lead_id::text, id::text FROM conversations WHERE last_seq > 0 AND status = 'OPEN' LIMIT 1"
    )
    await sql(
        "INSERT INTO messages (id, conversation_id, seq, sender_type, content_text, content_type, status, created_at)"
        " SELECT gen_random_uuid(), %s, n, 'LEAD', repeat('x', 900), 'TEXT', 'SENT', now() + make_interval(secs => n)"
        " FROM generate_series(2, 5000) AS n",
        row["id"],
    )
    await sql("ANALYZE messages")
    agent = await agent_with(api, row["id"])
    path = f"/api/v1/leads/{row['lead_id']}/timeline"
    seen: list[Any] = []
    cursor = ""
    for _ in range(3):
        page = (await agent.get(path, params={"limit": 50} | ({"cursor": cursor} if cursor else {}))).json()
        seen += page["data"]
        cursor = page["meta"]["nextCursor"]
    assert len({item["id"] for item in seen}) == 150
    assert {item["type"] for item in seen} == {"message"}
    assert seen[0]["data"] == {
        "conversationId": row["id"], "channel": seen[0]["data"]["channel"], "senderType": "LEAD",
        "contentType": "TEXT", "contentText": "x" * 500,
    }  # fmt: skip

    async def call(session: Any) -> None:
        from contactship_api.leads import timeline

        await timeline.read(session, root_key(), UUID(row["lead_id"]), limit=50, cursor=cursor)

    for plan in await executed_plans(api, call):
        read = [node for node in nodes(plan) if node.get("Relation Name") == "messages"]
        assert all(node["Actual Rows"] <= 51 and node["Node Type"] != "Seq Scan" for node in read), read
