"""The lists of 100,000 conversations with a million messages, over the whole application (ASGI, one request at a
time): authentication, validation, queries, serialisation."""

import psycopg

from bench.kpis import PRODUCTION_LIKE, application, production_like_server
from bench.report import Goal, Options, Section, timed
from contactship_common.migrate import upgrade
from contactship_devstack.guard import Guard
from contactship_devstack.valkey import temporary_server as temporary_valkey

AGENTS = 50
MESSAGES_EACH = 10
PROMISED_MS = 50
CHUNK = 20_000

_PEOPLE = """
INSERT INTO users (id, email, name, password_hash, role, active)
SELECT md5('agent' || n)::uuid, 'agent' || n || '@example.com', 'Agent ' || n, '', 'SALES_AGENT', true
  FROM generate_series(0, %(agents)s - 1) AS n
"""
_CONVERSATIONS = """
WITH numbers AS (SELECT n, floor(random() * %(messages)s * 2)::int AS messages, random() AS status,
                        random() AS priority,
                        now() - random() * interval '90 days' AS at, random() < 0.4 AS waits
                   FROM generate_series(%(first)s, %(last)s) AS n),
     people AS (INSERT INTO persons (id, first_name, last_name)
                SELECT md5('person' || n)::uuid, 'First' || n, 'Last' || n %% 997 FROM numbers),
     theirs AS (INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort)
                SELECT md5('lead' || n)::uuid, md5('person' || n)::uuid, 'lead' || n || '@example.com', 'manual', 'new',
                       1, 'first' || n || ' last' || n %% 997 || ' lead' || n || '@example.com', 'first' || n
                  FROM numbers),
     made AS (INSERT INTO conversations (id, lead_id, assigned_agent_id, channel, status, last_seq, last_message_at,
                     last_message_sender_type, last_lead_seq, last_agent_seq, unread_count, ai_summary, ai_priority,
                     ai_tags, analysed_up_to)
              SELECT md5('conversation' || n)::uuid, md5('lead' || n)::uuid,
                     CASE WHEN n %% 10 > 0 THEN md5('agent' || n %% %(agents)s)::uuid END,
                     (ARRAY['web','web','web','whatsapp','whatsapp','email'])[1 + n %% 6],
                     CASE WHEN status < 0.7 THEN 'CLOSED' WHEN status < 0.95 THEN 'OPEN' ELSE 'PENDING' END,
                     messages, CASE WHEN messages > 0 THEN at END,
                     CASE WHEN messages > 0 THEN CASE WHEN waits THEN 'LEAD' ELSE 'AGENT' END END,
                     CASE WHEN waits THEN messages ELSE greatest(messages - 1, 0) END,
                     CASE WHEN waits THEN greatest(messages - 1, 0) ELSE messages END, 0,
                     'Quiere una demo y pregunta por el precio del plan anual.',
                     CASE WHEN priority < 0.1 THEN 'HIGH' WHEN priority < 0.4 THEN 'MEDIUM'
                          WHEN priority < 0.9 THEN 'LOW' END,
                     CASE WHEN n %% 3 = 0 THEN ARRAY['precio', 'tag' || n %% 5000] ELSE ARRAY['tag' || n %% 5000] END,
                     messages
                FROM numbers)
INSERT INTO messages (id, conversation_id, seq, sender_type, content_text, content_type, status, created_at)
SELECT gen_random_uuid(), md5('conversation' || n)::uuid, seq,
       CASE WHEN (messages - seq) %% 2 = waits::int THEN 'AGENT' ELSE 'LEAD' END,
       'Buenos días, quería consultar por el pedido ' || n || '-' || seq || ' y el precio de la renovación anual.',
       'TEXT', 'SENT', at - make_interval(secs => 60 * (messages - seq))
  FROM numbers, generate_series(1, messages) AS seq
"""
FILTERS = {
    "": {},
    "unreplied": {"unreplied": "true"},
    "replied": {"unreplied": "false"},
    "status OPEN": {"status": "OPEN"},
    "status PENDING": {"status": "PENDING"},
    "priority HIGH": {"priority": "HIGH"},
    "common tag": {"tag": "precio"},
    "rare tag": {"tag": "tag4999"},
    "tag of nobody": {"tag": "none"},
    "channel web": {"channel": "web"},
    "channel of nobody": {"channel": "sms"},
    "unreplied, HIGH, whatsapp": {"unreplied": "true", "priority": "HIGH", "channel": "whatsapp"},
    "unreplied, PENDING, rare tag": {"unreplied": "true", "status": "PENDING", "tag": "tag4999"},
    "limit 100": {"limit": "100"},
}


def fill(database_url: str, conversations: int) -> None:
    """The data set: three months, a third of it about prices, seven of ten closed."""
    size = {"agents": AGENTS, "messages": MESSAGES_EACH}
    with psycopg.connect(database_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(_PEOPLE, size)
        for first in range(1, conversations + 1, CHUNK):
            connection.execute(_CONVERSATIONS, size | {"first": first, "last": min(conversations, first + CHUNK - 1)})
        connection.execute("VACUUM ANALYZE")


async def run(options: Options) -> Section:
    conversations = max(1_000, options.rows // 10)
    guard = Guard()
    with production_like_server() as postgres, temporary_valkey(guard) as valkey:
        url = postgres.create_database("contactship")
        upgrade(url)
        fill(url, conversations)
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT (SELECT count(*) FROM messages), md5('agent7')::uuid::text,"
                " (SELECT id::text FROM conversations ORDER BY last_seq DESC LIMIT 1)"
            ).fetchone()
        assert row is not None
        messages, agent, longest = row
        section = Section(
            f"{conversations:,} conversations",
            [
                f"{messages:,} messages, {AGENTS} agents; 20 rows a page with lead, agent and last message; one "
                "request at a time; PostgreSQL on the same machine with "
                + ", ".join(f"{name}={value}" for name, value in PRODUCTION_LIKE.items())
                + ".",
            ],
        )
        async with application(url, valkey.url) as client:

            async def timed_get(name: str, path: str, query: dict[str, str]) -> None:
                async def call() -> None:
                    answer = await client.get(f"/api/v1{path}", params=query)
                    assert answer.status_code == 200, answer.text

                section.lines.append(await timed(name, call, options.requests))

            for name, query in FILTERS.items():
                await timed_get(f"/conversations ({name})" if name else "/conversations", "/conversations", query)
            for name, query in FILTERS.items():
                told = f"one agent's, {name}" if name else "one agent's"
                await timed_get(f"/conversations ({told})", "/conversations", query | {"assignedAgentId": agent})
            cursor = ""
            for _ in range(20):
                page = await client.get(
                    "/api/v1/conversations", params={"limit": "100"} | ({"cursor": cursor} if cursor else {})
                )
                cursor = page.json()["meta"]["nextCursor"]
            await timed_get("/conversations (page 101)", "/conversations", {"cursor": cursor})
            worst = max(section.lines, key=lambda line: line.p95)
            await timed_get("/conversations/{id}/messages", f"/conversations/{longest}/messages", {})
            await timed_get("/dashboard/metrics", "/dashboard/metrics", {})
    guard.close()
    section.remarks.append(f"Slowest list: {worst.name}, p95 {worst.p95:.0f} ms; the promise is {PROMISED_MS} ms.")
    section.goals.append(Goal("slowest list of conversations, p95", worst.p95, below=PROMISED_MS, unit="ms"))
    return section
