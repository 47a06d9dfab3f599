"""POST /workers/classify/{meetingId}: one task a meeting, and none where nothing has changed."""

import asyncio
import ipaddress
from typing import Any

import httpx
import psycopg
import pytest
from api_testkit import Api, Sql, assert_problem, start_task, until_blocked
from classification_testkit import change_transcript, classify, make_meeting

from contactship_common.models.base import new_id
from contactship_common.outbound import resolving

CLASSIFIED = """
INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language, lost_client_bad_meeting,
            sentiment, confidence_score, key_topics, action_items, next_steps, summary, answer, corrected_fields,
            provider, model_used, prompt_version, transcript_at, processing_time_ms)
SELECT %s, id, true, '{}', false, 'es', false, 'neutral', 0.5, '[]', '[]', '', 'Just stored', '{}', '[]',
       'local', 'local-rules', '1', transcript_changed_at, 12 FROM meetings WHERE id = %s
"""
CLASSIFY = "/api/v1/workers/classify"


async def ask(api: Api, meeting_id: str, **body: Any) -> httpx.Response:
    return await api.post(f"{CLASSIFY}/{meeting_id}", json=body)


async def task_of(api: Api, meeting_id: str, **body: Any) -> str:
    answer = await ask(api, meeting_id, **body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["taskId"])


async def test_asking_is_accepted_and_says_where_to_look(api: Api, sql: Sql) -> None:
    meeting_id = await make_meeting(api)
    answer = await api.post(f"{CLASSIFY}/{meeting_id}")  # no body at all
    body = answer.json()
    assert answer.status_code == 202
    assert set(body) == {"taskId", "meetingId", "status"}
    assert (body["meetingId"], body["status"]) == (meeting_id, "processing")
    assert answer.headers["location"] == f"/api/v1/tasks/{body['taskId']}"
    assert int(answer.headers["retry-after"]) >= 1
    [task] = await sql("SELECT kind, queue, payload, subject_id::text FROM tasks")
    assert task == {
        "kind": "meeting.classification", "queue": "ai", "payload": {"meeting_id": meeting_id}, "subject_id": meeting_id,
    }  # fmt: skip


async def test_fifty_calls_at_once_are_one_task(api: Api, sql: Sql) -> None:
    meeting_id = await make_meeting(api)
    tasks = await asyncio.gather(*(task_of(api, meeting_id, forceReprocess=n % 5 == 0) for n in range(50)))
    assert len(set(tasks)) == 1
    assert len(await sql("SELECT 1 FROM tasks")) == 1


async def test_asking_while_a_classification_is_being_stored_gives_that_one(
    api: Api, sql: Sql, database_url: str
) -> None:
    meeting_id = await make_meeting(api)
    await task_of(api, meeting_id)
    async with await psycopg.AsyncConnection.connect(database_url) as run:
        await run.execute("SELECT FROM meetings FOR UPDATE")  # as the worker does
        await run.execute(CLASSIFIED, (new_id(), meeting_id))
        await run.execute("UPDATE tasks SET status = 'succeeded', slot = NULL")
        asked = asyncio.create_task(ask(api, meeting_id))
        await until_blocked(sql, "the request to meet the run that ends")
        await run.commit()
    answer = await asked
    assert (answer.status_code, answer.json()["summary"]) == (200, "Just stored")
    assert len(await sql("SELECT 1 FROM tasks")) == 1


async def test_an_unknown_meeting_is_404_whatever_its_id_looks_like(api: Api) -> None:
    assert_problem(await ask(api, str(new_id())), 404, "meeting_not_found")
    assert_problem(await ask(api, "no-id"), 404)


async def test_a_meeting_without_a_transcript_is_422(api: Api) -> None:
    assert_problem(await ask(api, await make_meeting(api, transcript=None)), 422, "meeting_without_transcript")


async def test_an_unchanged_meeting_answers_with_its_classification(api: Api, sql: Sql) -> None:
    meeting_id = await make_meeting(api)
    await classify(api, meeting_id, labels={"businessSector": "retail"})
    answer = await ask(api, meeting_id)
    assert answer.status_code == 200
    assert answer.json() == (await api.get(f"/api/v1/workers/classification/{meeting_id}")).json()
    assert (answer.json()["businessSector"], answer.json()["outdated"]) == ("retail", False)
    assert await sql("SELECT 1 FROM tasks") == []


async def test_a_changed_transcript_is_classified_again(api: Api) -> None:
    meeting_id = await make_meeting(api)
    await classify(api, meeting_id)
    await change_transcript(api, meeting_id)
    assert (await api.get(f"/api/v1/classifications/{meeting_id}")).json()["outdated"] is True
    assert (await ask(api, meeting_id)).status_code == 202


async def test_force_classifies_an_unchanged_meeting_again(api: Api, sql: Sql) -> None:
    meeting_id = await make_meeting(api)
    await classify(api, meeting_id)
    await task_of(api, meeting_id, forceReprocess=True)
    [task] = await sql("SELECT payload, rerun FROM tasks")
    assert task["payload"]["force"] is True


async def test_force_while_it_runs_asks_for_one_more_run(api: Api, sql: Sql) -> None:
    meeting_id = await make_meeting(api)
    task_id = await task_of(api, meeting_id)
    await start_task(api, task_id)
    assert await task_of(api, meeting_id) == task_id
    assert (await sql("SELECT rerun FROM tasks"))[0]["rerun"] is False
    assert await task_of(api, meeting_id, forceReprocess=True) == task_id
    assert (await sql("SELECT rerun FROM tasks"))[0]["rerun"] is True


async def test_a_transcript_that_changes_while_it_runs_asks_for_one_more_run(api: Api, sql: Sql) -> None:
    meeting_id = await make_meeting(api)
    task_id = await task_of(api, meeting_id)
    await start_task(api, task_id)
    await change_transcript(api, meeting_id)
    assert await task_of(api, meeting_id) == task_id
    assert (await sql("SELECT rerun FROM tasks"))[0]["rerun"] is True


async def test_blank_callback_url_is_none(api: Api) -> None:
    assert (await ask(api, await make_meeting(api), callbackUrl="  ")).status_code == 202


async def test_a_callback_url_needs_a_secret_and_a_public_address(api: Api, make_api: Any, sql: Sql) -> None:
    meeting_id = await make_meeting(api)
    assert_problem(await ask(api, meeting_id, callbackUrl="https://example.com/x"), 422, "callbacks_not_configured")
    signed = await make_api(callback_signing_secret="a-secret-of-the-tests-0123456789", outbound_allow_cidrs="")
    assert_problem(await ask(signed, meeting_id, callbackUrl="https://127.0.0.1/x"), 422, "url_not_allowed")
    assert await sql("SELECT 1 FROM tasks") == []


async def test_no_transaction_waits_for_a_name_server(make_api: Any, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    api = await make_api(callback_signing_secret="a-secret-of-the-tests-0123456789")
    meeting_id = await make_meeting(api)
    seen: list[Any] = []

    async def name_server(host: str, port: int) -> list[Any]:
        seen.append(await sql(
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        ))  # fmt: skip
        return [ipaddress.ip_address("127.0.0.1" if len(seen) > 1 else "203.0.114.9")]

    monkeypatch.setattr(resolving, "resolve", name_server)
    body, key = {"callbackUrl": "https://receiver.example/hook"}, {"idempotency-key": "k"}
    first = await api.post(f"{CLASSIFY}/{meeting_id}", json=body, headers=key)
    assert first.status_code == 202
    # Meanwhile the name leads inside; the same request has the same answer all the same.
    again = await api.post(f"{CLASSIFY}/{meeting_id}", json=body, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert_problem(await api.post(f"{CLASSIFY}/{meeting_id}", json=body), 422, "url_not_allowed")
    assert seen == [[], [], []]


async def test_a_callback_url_is_kept_with_the_task(make_api: Any, sql: Sql) -> None:
    api = await make_api(callback_signing_secret="a-secret-of-the-tests-0123456789", outbound_allow_cidrs="127.0.0.0/8")
    task_id = await task_of(api, await make_meeting(api), callbackUrl="https://127.0.0.1/heard")
    assert await sql("SELECT task_id::text, url FROM task_callbacks") == [
        {"task_id": task_id, "url": "https://127.0.0.1/heard"}
    ]


async def test_unknown_fields_and_wrong_types_are_422(api: Api) -> None:
    meeting_id = await make_meeting(api)
    for body in ({"force": True}, {"forceReprocess": "yes"}, {"forceReprocess": 1}, {"callbackUrl": 7}):
        assert_problem(await ask(api, meeting_id, **body), 422, "validation_failed")


async def test_a_key_that_may_not_read_meetings_finds_none(api: Api) -> None:
    made = (await api.post("/api/v1/api-keys", json={"name": "ai", "scopes": ["ai:run"]})).json()
    client = api.client({"x-api-key": made["key"]})
    meeting_id = await make_meeting(api)
    await classify(api, meeting_id)
    assert_problem(await client.post(f"{CLASSIFY}/{meeting_id}", json={}), 404, "meeting_not_found")
    many = await client.post(f"{CLASSIFY}/batch", json={"meetingIds": [meeting_id]})
    assert many.json()["notFound"] == [meeting_id]
