"""The list of interactions, one of them, and what may be changed about it."""

import asyncio
from typing import Any

import psycopg
import pytest
from api_testkit import Api, Sql, assert_problem, start_task, until_blocked
from interaction_testkit import (
    BASE,
    CUSTOMER,
    NOTHING,
    OURS,
    call,
    challenge,
    conversation,
    event,
    interaction,
    listed,
    put,
    shown,
)

from contactship_common.models.base import new_id


async def test_each_filter_finds_its_own(api: Api, sql: Sql) -> None:
    lead_of = await conversation(api, sql, "hola")
    sms = await interaction(
        sql, channel="SMS", direction="OUTBOUND", status="FAILED", provider="TWILIO", from_number=OURS,
        to_number="+34612345678", customer_phone="+34612345678", started_at="2026-03-05T10:00:00Z",
    )  # fmt: skip
    phone_call = await interaction(sql, assigned_agent="maria", started_at="2026-03-06T10:00:00Z")
    for query, expected in (
        ({"channel": "SMS"}, [sms]),
        ({"direction": "OUTBOUND"}, [sms]),
        ({"status": "IN_PROGRESS"}, [lead_of[0]]),
        ({"provider": "TWILIO"}, [sms]),
        ({"to": "+34 612 34 56 78"}, [sms]),
        ({"to": "34612345678"}, [sms]),
        ({"from": CUSTOMER}, [lead_of[0], phone_call]),
        ({"from": "+54 9 11 3456-7890", "channel": "CALL"}, [phone_call]),
        ({"agent": "maria"}, [phone_call]),
        ({"agent": "mari"}, []),
        ({"leadId": lead_of[2]}, [lead_of[0]]),
        ({"dateFrom": "2026-03-06", "dateTo": "2026-03-06"}, [phone_call]),
        ({"dateFrom": "2026-03-05T10:00:00Z", "dateTo": "2026-03-06T10:00:00Z"}, [sms]),
        ({"dateTo": "2026-03-06"}, [phone_call, sms]),
        ({}, [lead_of[0], phone_call, sms]),
    ):
        assert await listed(api, **query) == expected, query


BAD_QUERIES = [
    "channel=FAX", "direction=UP", "status=DONE", "provider=ACME", "leadId=1", "limit=0", "limit=101", "limit=x",
    "dateFrom=yesterday", "dateTo=2026-02-30", "dateFrom=2026-03-01T10:00", "dateFrom=2026-03-02&dateTo=2026-03-01",
    "dateFrom=20260301", "dateTo=2026-W10-1", "dateFrom=0001-01-01T00:00:00%2B14:00", "dateTo=9999-12-31",
    "page=1", "includePii=perhaps", "search=%00", f"search={'a' * 201}", f"from={'1' * 256}",
]  # fmt: skip


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_a_query_that_makes_no_sense_is_refused(shared_api: Api, query: str) -> None:
    assert_problem(await shared_api.get(f"{BASE}?{query}"), 422, "validation_failed")


@pytest.mark.parametrize("cursor", ["x", "e30", "🙂", "a" * 4_096])
async def test_a_broken_cursor_is_refused(shared_api: Api, cursor: str) -> None:
    assert_problem(await shared_api.get(BASE, params={"cursor": cursor}), 400, "bad_cursor")


async def test_a_walk_shows_every_row_once_while_new_ones_arrive(api: Api, sql: Sql) -> None:
    made = [await interaction(sql, started_at=f"2026-03-0{1 + n % 3}T10:00:00Z") for n in range(11)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(BASE, params={"limit": 3, "cursor": cursor})).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["meta"]["nextCursor"]
        assert page["meta"]["hasNextPage"] is (cursor is not None)
        await interaction(sql)  # now, so newer than all of them
    assert sorted(seen) == sorted(made)


async def test_a_call_is_shown_with_everything_that_belongs_to_it(api: Api, sql: Sql) -> None:
    its = await interaction(
        sql, started_at="2026-03-01T10:00:00Z", ended_at="2026-03-01T10:02:00Z", outcome="RESOLVED", intent="billing",
        queue="support", provider_conversation_id="conv_1",
    )  # fmt: skip
    await call(sql, its, transcript_text="agent: hola", summary="Asked for the bill", duration_sec=97)
    await event(sql, its, {"type": "post_call_transcription"}, {"status": "COMPLETED"}, provider_event_id="evt-1")
    otp = await challenge(sql, its)
    await put(
        sql, "deliveries", id=new_id(), otp_challenge_id=otp, interaction_id=its, channel="SMS", to_number=CUSTOMER,
        state="SENT", provider_rank=3,
    )  # fmt: skip
    body = await shown(api, its)
    assert body["durationSec"] == 97
    assert body["callDetail"]["transcriptText"] == "agent: hola"
    assert body["summary"] == body["callDetail"]["summary"] == "Asked for the bill"
    assert body["events"][0]["raw"] == {"type": "post_call_transcription"}
    assert body["events"][0]["normalized"] == {"status": "COMPLETED"}
    assert body["otpChallenges"][0]["purpose"] == "LOGIN_2FA"
    assert body["deliveries"][0]["state"] == "SENT"
    assert body["messages"] == []
    assert not body["messagesWithheld"]
    assert "nonce" not in str(body).lower()
    [row] = (await api.get(BASE)).json()["data"]
    assert row.items() <= body.items()


async def test_what_has_not_ended_has_no_duration_yet(api: Api, sql: Sql) -> None:
    running, *_ = await conversation(api, sql, "hola")
    assert (await shown(api, running))["durationSec"] is None


async def test_a_code_in_an_answer_could_not_be_made_from_it(api: Api, sql: Sql) -> None:
    its = await interaction(sql, channel="SMS", intent="otp:LOGIN_2FA")
    await challenge(sql, its, nonce=b"\x01secret-nonce\x02")
    text = (await api.get(f"{BASE}/{its}?includePii=true&reason=looking")).text
    assert "secret-nonce" not in text
    assert CUSTOMER in text


@pytest.mark.parametrize("path", ["x", NOTHING, "..", "1", "metric"])
async def test_an_unknown_interaction_is_not_there(shared_api: Api, path: str) -> None:
    for method, suffix in (("GET", ""), ("PATCH", ""), ("POST", "/summarize")):
        body = {} if method == "PATCH" else None
        answer = await shared_api.request(method, f"{BASE}/{path}{suffix}".replace("/../", "/%2E%2E/"), json=body)
        assert answer.status_code in (404, 405), (method, answer.text)


async def test_agents_see_every_interaction_but_messages_only_of_their_conversations(api: Api, sql: Sql) -> None:
    its, conversation_id, _ = await conversation(api, sql, "cuánto cuesta", "gracias")
    await event(sql, its, {"body": "cuánto cuesta"}, {"text": "cuánto cuesta"})
    other = await api.client_for("SALES_AGENT")
    owner = await api.client_for("SALES_AGENT")
    await sql(
        "UPDATE conversations SET assigned_agent_id = %s WHERE id = %s", owner.headers["x-test-user"], conversation_id
    )
    for client in (owner, api.root, await api.client_for("ADMIN")):
        body = await shown(client, its)
        assert [m["contentText"] for m in body["messages"]] == ["cuánto cuesta", "gracias"]
        assert body["events"][0]["raw"] == {"body": "cuánto cuesta"}
        assert not body["messagesWithheld"]
    assert await listed(other) == [its]
    body = await shown(other, its)
    assert body["messages"] == []
    assert body["messagesWithheld"]
    assert "cuesta" not in str(body)


async def test_what_was_written_in_a_deleted_conversation_is_not_shown_to_other_agents(api: Api, sql: Sql) -> None:
    its, _, lead_id = await conversation(api, sql, "cuánto cuesta")
    await event(sql, its, {"body": "cuánto cuesta"}, {"text": "cuánto cuesta"})
    assert (await api.delete(f"/api/v1/leads/{lead_id}")).status_code == 204
    body = await shown(await api.client_for("SALES_AGENT"), its)
    assert body["messagesWithheld"]
    assert "cuesta" not in str(body)


async def test_a_call_is_annotated_and_closed(api: Api, sql: Sql) -> None:
    its = await interaction(sql, status="IN_PROGRESS")
    answer = await api.patch(
        f"{BASE}/{its}",
        json={"status": "COMPLETED", "outcome": "ESCALATED", "assignedAgent": " ana ", "queue": "", "intent": None},
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["status"], body["outcome"], body["assignedAgent"]) == ("COMPLETED", "ESCALATED", "ana")
    assert body["queue"] is None
    assert body["endedAt"]
    assert body["durationSec"] is not None
    [row] = await sql("SELECT action, data, entity_id FROM audit_logs WHERE action = 'interaction.update'")
    assert row["data"] == {"fields": ["assigned_agent", "outcome", "status"]}
    assert row["entity_id"] == its


@pytest.mark.parametrize(
    ("now", "then", "status"),
    [
        ("NEW", "IN_PROGRESS", 200), ("NEW", "ABANDONED", 200), ("IN_PROGRESS", "NEW", 409),
        ("IN_PROGRESS", "IN_PROGRESS", 200), ("COMPLETED", "IN_PROGRESS", 409), ("COMPLETED", "NEW", 409),
        ("ABANDONED", "COMPLETED", 200), ("FAILED", "FAILED", 200), ("FAILED", "IN_PROGRESS", 409),
    ],
)  # fmt: skip
async def test_a_status_goes_forward_only(api: Api, sql: Sql, now: str, then: str, status: int) -> None:
    its = await interaction(sql, status=now)
    answer = await api.patch(f"{BASE}/{its}", json={"status": then})
    assert answer.status_code == status
    if status == 409:
        assert_problem(answer, 409, "interaction_ended")
    [row] = await sql("SELECT status FROM interactions")
    assert row["status"] == (then if status == 200 else now)


BAD_CHANGES: list[dict[str, Any]] = [
    {"status": None}, {"status": "DONE"}, {"outcome": "GOOD"}, {"assignedAgent": "a" * 256}, {"intent": "a" * 501},
    {"queue": 7}, {"customerRef": "a\x00"}, {"channel": "SMS"}, {"customerRef": "***7890"},
    {"assignedAgent": "j***z@example.com"}, {"intent": "a\u202eb"},
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_CHANGES)
async def test_a_change_that_makes_no_sense_is_refused(shared_api: Api, body: dict[str, Any]) -> None:
    assert (await shared_api.patch(f"{BASE}/{NOTHING}", json=body)).status_code in (400, 422)


async def test_an_agent_changes_nothing_about_somebody_elses_conversation(api: Api, sql: Sql) -> None:
    its, _, _ = await conversation(api, sql, "hola")
    agent = await api.client_for("SALES_AGENT")
    assert_problem(await agent.patch(f"{BASE}/{its}", json={"queue": "x"}), 403, "not_your_conversation")
    free = await interaction(sql)
    assert (await agent.patch(f"{BASE}/{free}", json={"queue": "x"})).status_code == 200


async def test_two_who_close_it_at_once_end_it_once(api: Api, sql: Sql) -> None:
    its = await interaction(sql, status="IN_PROGRESS")
    answers = await asyncio.gather(
        *(api.patch(f"{BASE}/{its}", json={"status": "COMPLETED", "outcome": "RESOLVED"}) for _ in range(8))
    )
    assert [a.status_code for a in answers] == [200] * 8
    assert len({a.json()["endedAt"] for a in answers}) == 1
    assert len(await sql("SELECT 1 FROM audit_logs WHERE action = 'interaction.update'")) == 1


async def test_a_transcript_is_summarised_once(api: Api, sql: Sql) -> None:
    its = await interaction(sql)
    assert_problem(await api.post(f"{BASE}/{its}/summarize"), 409, "interaction_without_transcript")
    await call(sql, its, transcript_text="agent: hola")
    answers = await asyncio.gather(*(api.post(f"{BASE}/{its}/summarize") for _ in range(5)))
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["taskId"] for a in answers}) == 1
    assert answers[0].headers["location"] == f"/api/v1/tasks/{answers[0].json()['taskId']}"
    assert (await api.get(answers[0].headers["location"])).json()["links"]["subject"] == f"{BASE}/{its}"
    await sql("UPDATE tasks SET status = 'succeeded', slot = NULL")
    await sql("UPDATE call_details SET summary = 'They said hello'")
    answer = await api.post(f"{BASE}/{its}/summarize")
    assert answer.status_code == 200
    assert answer.json()["summary"] == "They said hello"
    assert (await api.post(f"{BASE}/{its}/summarize?force=true")).status_code == 202


async def test_asking_while_a_summary_is_being_stored_gives_that_one(api: Api, sql: Sql, database_url: str) -> None:
    its = await interaction(sql)
    await call(sql, its, transcript_text="agent: hola")
    assert (await api.post(f"{BASE}/{its}/summarize")).status_code == 202
    async with await psycopg.AsyncConnection.connect(database_url) as run:
        await run.execute("UPDATE call_details SET summary = 'Just written'")
        await run.execute("UPDATE tasks SET status = 'succeeded', slot = NULL")
        asked = asyncio.create_task(api.post(f"{BASE}/{its}/summarize"))
        await until_blocked(sql, "the request to meet the run that ends")
        await run.commit()
    assert ((await asked).status_code, (await asked).json()["summary"]) == (200, "Just written")
    assert len(await sql("SELECT 1 FROM tasks")) == 1


async def test_a_summary_asked_for_after_the_transcript_changed_is_written_after_the_run(api: Api, sql: Sql) -> None:
    its = await interaction(sql)
    await call(sql, its, transcript_text="agent: hola")
    task = (await api.post(f"{BASE}/{its}/summarize")).json()["taskId"]
    await start_task(api, task)
    assert (await api.post(f"{BASE}/{its}/summarize")).json()["taskId"] == task
    assert await sql("SELECT rerun FROM tasks") == [{"rerun": False}], "a mere click"
    await sql("UPDATE call_details SET transcript_text = 'agent: adiós', updated_at = clock_timestamp()")
    assert (await api.post(f"{BASE}/{its}/summarize")).json()["taskId"] == task
    assert await sql("SELECT rerun FROM tasks") == [{"rerun": True}]


async def test_a_blank_transcript_is_none(api: Api, sql: Sql) -> None:
    its = await interaction(sql)
    await call(sql, its, transcript_text="  \n ", summary=None)
    assert_problem(await api.post(f"{BASE}/{its}/summarize"), 409, "interaction_without_transcript")
