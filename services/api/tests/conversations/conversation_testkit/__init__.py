"""Conversations through the API, and what must hold of them in the tables."""

from typing import Any

import httpx
from api_testkit import Api, Sql, make_lead, new_lead

from contactship_common.models.base import new_id

BASE = "/api/v1/conversations"

# What the summary columns say, beside what the messages say; a row for every conversation where the two differ.
DISAGREEMENTS = """
WITH told AS (
    SELECT c.id, count(m.id)::int AS messages, coalesce(max(m.seq), 0) AS last_seq, max(m.created_at) AS last_at,
           coalesce(max(m.seq) FILTER (WHERE m.sender_type = 'LEAD'), 0) AS lead_seq,
           coalesce(max(m.seq) FILTER (WHERE m.sender_type = 'AGENT'), 0) AS agent_seq,
           max(m.created_at) FILTER (WHERE m.sender_type = 'AGENT') AS agent_at,
           count(*) FILTER (WHERE m.sender_type = 'LEAD' AND m.read_at IS NULL)::int AS unread,
           (array_agg(m.sender_type ORDER BY m.seq DESC) FILTER (WHERE m.id IS NOT NULL))[1] AS last_sender
      FROM conversations c LEFT JOIN messages m ON m.conversation_id = c.id GROUP BY c.id)
SELECT c.id::text, to_jsonb(c) AS columns, to_jsonb(told) AS messages
  FROM conversations c JOIN told USING (id)
 WHERE (c.last_seq, c.last_seq, c.last_lead_seq, c.last_agent_seq, c.unread_count, c.unreplied)
       IS DISTINCT FROM (told.messages, told.last_seq, lead_seq, agent_seq, unread, lead_seq > agent_seq AND c.status <> 'CLOSED')
    OR (c.last_message_at, c.last_message_sender_type, c.last_agent_reply_at)
       IS DISTINCT FROM (last_at, last_sender, agent_at)
"""

# A message that is older than the one before it.
BACKWARDS = """
SELECT 1 FROM (SELECT created_at, lag(created_at) OVER (PARTITION BY conversation_id ORDER BY seq) AS before
                 FROM messages) AS m WHERE created_at < before
"""


async def assert_consistent(sql: Sql) -> None:
    """The summary columns are what a recomputation from the messages gives."""
    assert await sql(DISAGREEMENTS) == []


async def start(api: Api, lead_id: str = "", channel: str = "web", client: httpx.AsyncClient | None = None) -> str:
    """A new conversation's id; with a new lead unless one is given."""
    lead_id = lead_id or (await make_lead(api))["id"]
    answer = await (client or api.root).post(BASE, json={"leadId": lead_id, "channel": channel})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def assign(api: Api, conversation_id: str, agent_id: str | None) -> None:
    answer = await api.post(f"{BASE}/{conversation_id}/assign", json={"agentId": agent_id})
    assert answer.status_code == 200, answer.text


async def say(client: Any, conversation_id: str, text: str = "Hola", **more: Any) -> dict[str, Any]:
    """An agent's message."""
    answer = await client.post(f"{BASE}/{conversation_id}/messages", json={"contentText": text, **more})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def hear(client: Any, conversation_id: str, text: str = "Quiero una demo") -> dict[str, Any]:
    """A lead's message, as a machine hands it over."""
    return await say(client, conversation_id, text, senderType="LEAD")


async def shown(client: Any, conversation_id: str) -> dict[str, Any]:
    answer = await client.get(f"{BASE}/{conversation_id}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def agent_with(api: Api, *conversation_ids: str) -> httpx.AsyncClient:
    """A new agent to whom these conversations are assigned."""
    client = await api.client_for("SALES_AGENT")
    for conversation_id in conversation_ids:
        await assign(api, conversation_id, client.headers["x-test-user"])
    return client


async def walk(client: Any, limit: int = 3, **query: Any) -> list[dict[str, Any]]:
    """The whole list, page by page."""
    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        parameters = {**query, "limit": limit, **({"cursor": cursor} if cursor else {})}
        answer = await client.get(BASE, params=parameters)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert page["meta"]["hasNextPage"] is (page["meta"]["nextCursor"] is not None)
        seen += page["data"]
        cursor = page["meta"]["nextCursor"]
    return seen


async def many(sql: Sql, count: int) -> None:
    """So many conversations with a message each, of leads of their own, straight in the tables; some without."""
    await sql(
        """
        WITH numbers AS (SELECT n, gen_random_uuid() AS person_id, gen_random_uuid() AS lead_id,
                                gen_random_uuid() AS id FROM generate_series(1, %s) AS n),
             people AS (INSERT INTO persons (id, first_name, last_name) SELECT person_id, 'F' || n, 'L' FROM numbers),
             their AS (INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort)
                       SELECT lead_id, person_id, 'c' || n || '@example.com', 'manual', 'new', 1, 'f' || n, 'f' || n
                         FROM numbers),
             made AS (INSERT INTO conversations (id, lead_id, channel, status, last_seq, last_message_at,
                             last_message_sender_type, last_lead_seq, last_agent_seq, unread_count, ai_priority, ai_tags,
                             analysed_up_to)
                      SELECT id, lead_id, (ARRAY['web','whatsapp','sms','email'])[1 + n %% 4],
                             (ARRAY['OPEN','PENDING','CLOSED'])[1 + n %% 3], (n %% 10 > 0)::int,
                             CASE WHEN n %% 10 > 0 THEN now() - make_interval(secs => n %% 500) END,
                             CASE WHEN n %% 10 > 0 THEN 'LEAD' END, (n %% 10 > 0)::int, 0, (n %% 10 > 0)::int,
                             (ARRAY['HIGH','MEDIUM','LOW',NULL])[1 + n %% 4], ARRAY['tag' || n %% 50], 0
                        FROM numbers)
        INSERT INTO messages (id, conversation_id, seq, sender_type, content_text, content_type, status, created_at)
        SELECT gen_random_uuid(), id, 1, 'LEAD', 'text ' || n, 'TEXT', 'DELIVERED',
               now() - make_interval(secs => n %% 500)
          FROM numbers WHERE n %% 10 > 0
        """,
        count,
    )
    for table in ("conversations", "messages", "leads", "persons"):
        await sql(f"ANALYZE {table}")


__all__ = [
    "BACKWARDS", "BASE", "DISAGREEMENTS", "agent_with", "assert_consistent", "assign", "hear", "make_lead", "many",
    "new_id", "new_lead", "say", "shown", "start", "walk",
]  # fmt: skip
