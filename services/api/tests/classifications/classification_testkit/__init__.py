"""Meetings and classifications straight in the tables, and the worker's part done without a worker."""

import json
from typing import Any

import psycopg
from api_testkit import Api

from contactship_common.models.base import new_id

FIXED: dict[str, Any] = {
    "urgency": False,
    "language": "es",
    "lost_client_bad_meeting": False,
    "sentiment": "positive",
    "confidence_score": 0.8,
}


async def _run(api: Api, statement: str, *parameters: Any) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(api.database_url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []


async def make_people(api: Api) -> tuple[str, str]:
    """A client and a seller; their ids."""
    client_id, seller_id = str(new_id()), str(new_id())
    await _run(api, "INSERT INTO clients (id, name, search_text, name_sort) VALUES (%s, 'Ana', '', '')", client_id)
    await _run(
        api, "INSERT INTO sellers (id, name, email, active, search_text, name_sort) VALUES (%s, 'Boa', %s, true, '', '')",
        seller_id, f"{seller_id}@example.com",
    )  # fmt: skip
    return client_id, seller_id


async def make_meetings(api: Api, count: int, *, transcript: str | None = "Hola", at: str = "2026-03-10") -> list[str]:
    """Meetings of one client and seller; their ids in the order in which they were made."""
    client_id, seller_id = await make_people(api)
    rows = await _run(
        api,
        "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, transcript, transcript_changed_at) "
        "SELECT gen_random_uuid(), %s, %s, %s::timestamptz, 'open', %s, CASE WHEN %s::text IS NOT NULL THEN now() END "
        "FROM generate_series(1, %s) RETURNING id::text",
        client_id, seller_id, at, transcript, transcript, count,
    )  # fmt: skip
    return [row[0] for row in rows]


async def make_meeting(api: Api, **changes: Any) -> str:
    [meeting_id] = await make_meetings(api, 1, **changes)
    return meeting_id


async def classify(api: Api, meeting_id: str, *, labels: dict[str, str | None] | None = None, **fixed: Any) -> None:
    """A new current classification of the meeting's present transcript; an earlier one becomes history."""
    values = FIXED | fixed
    await _run(api, "UPDATE meeting_classifications SET is_current = false WHERE meeting_id = %s", meeting_id)
    await _run(
        api,
        "INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language, "
        "lost_client_bad_meeting, sentiment, confidence_score, key_topics, action_items, next_steps, summary, answer, "
        "corrected_fields, provider, model_used, prompt_version, transcript_at, processing_time_ms) "
        "SELECT %s, id, true, %s::jsonb, %s, %s, %s, %s, %s, '[\"a1\", \"b2\"]', '[\"Llamar\"]', 'Llamar', 'Se habló.', "
        "'{}', '[]', 'local', 'local-rules', '1', transcript_changed_at, 12 FROM meetings WHERE id = %s",
        new_id(), json.dumps(labels or {}), values["urgency"], values["language"], values["lost_client_bad_meeting"],
        values["sentiment"], values["confidence_score"], meeting_id,
    )  # fmt: skip


async def change_transcript(api: Api, meeting_id: str, text: str = "Otra cosa") -> None:
    await _run(
        api,
        "UPDATE meetings SET transcript = %s, transcript_changed_at = clock_timestamp() WHERE id = %s",
        text, meeting_id,
    )  # fmt: skip
