"""POST /ai/feedback: verdicts, and corrections that stay."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from ai_ops_testkit import FEEDBACK, about, classification, make_meeting
from api_testkit import Api, Sql, assert_problem, make_lead, run_tasks

from contactship_common.classification.categories import load_categories
from contactship_common.classification.corrections import lock_meeting, newest_corrections, overlay
from contactship_common.uow import unit_of_work

NOBODY = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


async def give(api: Api, body: dict[str, Any], client: Any = None) -> dict[str, Any]:
    answer = await (client or api).post(FEEDBACK, json=body)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def current(sql: Sql, meeting_id: str) -> dict[str, Any]:
    [row] = await sql("SELECT * FROM meeting_classifications WHERE meeting_id = %s AND is_current", meeting_id)
    return row


async def reclassify(api: Api, meeting_id: str, **said: Any) -> None:
    """What the worker does when a model has answered again."""
    async with unit_of_work(api.gateway.runtime) as uow:
        assert await lock_meeting(uow.session, UUID(meeting_id))
        await uow.session.execute(classification(UUID(meeting_id)).__table__.update().values(is_current=False))
        row = classification(UUID(meeting_id), **said)
        overlay(row, await newest_corrections(uow.session, UUID(meeting_id)), load_categories())
        uow.session.add(row)


async def test_a_correction_shows_at_once_and_wins_over_later_answers(api: Api, sql: Sql) -> None:
    meeting = await make_meeting(api, businessSector="ecommerce", sentiment="positive")
    told = await give(api, about(meeting, "businessSector", correctedValue="retail"))
    assert told["modelValue"] == "ecommerce"
    assert (told["correctedValue"], told["model"], told["promptVersion"]) == ("retail", "gpt-4o-mini", "1")
    await give(api, about(meeting, "sentiment", correctedValue="negative"))

    row = await current(sql, meeting)
    assert (row["labels"]["businessSector"], row["sentiment"]) == ("retail", "negative")
    assert row["corrected_fields"] == ["businessSector", "sentiment"]
    assert (row["answer"]["businessSector"], row["answer"]["sentiment"]) == ("ecommerce", "positive")

    await reclassify(api, meeting, businessSector="education", region="europe")
    row = await current(sql, meeting)
    assert row["labels"]["businessSector"] == "retail"
    assert row["labels"]["region"] == "europe"
    assert row["sentiment"] == "negative"
    assert row["corrected_fields"] == ["businessSector", "sentiment"]
    assert row["answer"]["businessSector"] == "education"


@pytest.mark.parametrize(
    ("field", "value"),
    [("urgency", True), ("lostClientBadMeeting", True), ("language", "en"), ("sentiment", "positive"),
     ("companySize", "large"), ("companySize", None)],
)  # fmt: skip
async def test_every_kind_of_field_can_be_corrected(api: Api, sql: Sql, field: str, value: Any) -> None:
    meeting = await make_meeting(api, companySize="small")
    assert (await give(api, about(meeting, field, correctedValue=value)))["correctedValue"] == value
    column = {"lostClientBadMeeting": "lost_client_bad_meeting"}.get(field, field)
    await reclassify(api, meeting, companySize="small")
    row = await current(sql, meeting)
    assert (row["labels"] | row)[field if field == "companySize" else column] == value


async def test_the_newest_correction_counts_and_a_confirmation_keeps_it(api: Api, sql: Sql) -> None:
    meeting = await make_meeting(api, region="asia")
    for value in ("europe", "africa"):
        await give(api, about(meeting, "region", correctedValue=value))
    confirmed = await give(api, about(meeting, "region", "correct"))
    doubted = await give(api, about(meeting, "region", "wrong"))
    # Both judge what a person said, so no model is praised or blamed for it.
    assert [told["model"] for told in (confirmed, doubted)] == [None, None]
    await reclassify(api, meeting, region="asia")
    assert (await current(sql, meeting))["labels"]["region"] == "africa"


async def test_the_newest_is_told_by_the_databases_clock_and_not_by_a_gateways(api: Api, sql: Sql) -> None:
    meeting = await make_meeting(api, region="asia")
    await give(api, about(meeting, "region", correctedValue="europe"))
    await sql("UPDATE ai_feedback SET id = 'ffffffff-89a4-7b6e-9f1a-3a5b7c9d1e2f'")  # a gateway whose clock is ahead
    await give(api, about(meeting, "region", correctedValue="africa"))
    await reclassify(api, meeting, region="asia")
    assert (await current(sql, meeting))["labels"]["region"] == "africa"


async def test_a_verdict_without_a_value_changes_nothing_shown(api: Api, sql: Sql) -> None:
    meeting = await make_meeting(api, region="asia")
    for body in (about(meeting, "region", "wrong"), about(meeting, "region", "correct"), about(meeting)):
        assert (await give(api, body))["model"] == "gpt-4o-mini"
    row = await current(sql, meeting)
    assert (row["labels"]["region"], row["corrected_fields"]) == ("asia", [])


async def test_a_correction_and_a_new_classification_at_once_lose_nothing(api: Api, sql: Sql) -> None:
    meeting = await make_meeting(api, region="asia")
    values = ["europe", "africa", "oceania", None] * 3
    corrections = [give(api, about(meeting, "region", correctedValue=value)) for value in values]
    runs = [reclassify(api, meeting, region="asia", companySize="small") for _ in values]
    await asyncio.gather(*(step for pair in zip(corrections, runs, strict=True) for step in pair))
    [newest] = await sql("SELECT corrected_value FROM ai_feedback ORDER BY created_at DESC LIMIT 1")
    row = await current(sql, meeting)
    assert row["corrected_fields"] == ["region"]
    assert row["labels"]["region"] == newest["corrected_value"]
    assert row["labels"]["companySize"] == "small"


BAD_VALUES = [
    ("businessSector", "spaceships"), ("businessSector", True), ("urgency", None), ("urgency", "true"),
    ("sentiment", None), ("language", "fr"), ("businessSector", ""),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD_VALUES)
async def test_a_value_that_the_field_cannot_have_is_422(api: Api, sql: Sql, field: str, value: Any) -> None:
    meeting = await make_meeting(api)
    answer = await api.post(FEEDBACK, json=about(meeting, field, correctedValue=value))
    assert_problem(answer, 422, "value_not_allowed")
    assert await sql("SELECT 1 FROM ai_feedback") == []


async def test_what_cannot_be_said_about_a_meeting(api: Api) -> None:
    meeting, unclassified = await make_meeting(api), await make_meeting(api, classified=False)
    cases = [
        (about(meeting, "region", "correct", correctedValue="asia"), 422, "correction_not_wanted"),
        (about(meeting, correctedValue="asia"), 422, "correction_not_wanted"),
        (about(meeting, "nothingLikeIt"), 422, "field_unknown"),
        (about(meeting, "summary"), 422, "field_unknown"),
        (about(unclassified, "region"), 409, "nothing_to_judge"),
        (about(NOBODY, "region"), 422, "meeting_not_found"),
    ]
    for body, status, code in cases:
        assert_problem(await api.post(FEEDBACK, json=body), status, code)


@pytest.mark.parametrize(
    "change",
    [
        {"subjectType": "client"}, {"verdict": "maybe"}, {"subjectId": "1"},
        {"field": ""}, {"field": "x" * 65}, {"field": "a\nb"}, {"correctedValue": 1}, {"correctedValue": []},
        {"correctedValue": {}}, {"correctedValue": "x" * 61}, {"extra": 1}, {"verdict": None},
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_422(shared_api: Api, change: dict[str, Any]) -> None:
    assert_problem(await shared_api.post(FEEDBACK, json=about(NOBODY, "region") | change), 422, "validation_failed")


async def test_a_value_of_another_type_is_named_by_its_field(shared_api: Api) -> None:
    answer = await shared_api.post(FEEDBACK, json=about(NOBODY, "region", correctedValue=7))
    [error] = assert_problem(answer, 422, "validation_failed")["errors"]
    assert error["path"] == "body.correctedValue"


async def test_a_leads_summary_can_be_judged_and_not_corrected(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    body = {"subjectType": "lead", "subjectId": lead["id"], "field": "nextAction", "verdict": "correct"}
    assert_problem(await api.post(FEEDBACK, json=body), 409, "nothing_to_judge")
    await run_tasks(api, (await api.post(f"/api/v1/leads/{lead['id']}/summarize")).json()["taskId"])
    await sql(
        "INSERT INTO lead_events (id, lead_id, type, data) VALUES (gen_random_uuid(), %s, 'summarized', "
        """'{"provider": "gemini", "model": "gemini-2.5-flash", "promptVersion": "2"}')""",
        lead["id"],
    )
    told = await give(api, body)
    assert (told["provider"], told["model"], told["promptVersion"]) == ("gemini", "gemini-2.5-flash", "2")
    [row] = await sql("SELECT * FROM ai_feedback")
    assert "demo" not in str(row["model_value"])  # the summary's words are the lead's
    assert_problem(await api.post(FEEDBACK, json=body | {"field": "email"}), 422, "field_unknown")
    wrong = body | {"verdict": "wrong", "correctedValue": "Write"}
    assert_problem(await api.post(FEEDBACK, json=wrong), 422, "correction_not_wanted")
    assert_problem(await api.post(FEEDBACK, json=body | {"subjectId": NOBODY}), 422, "lead_not_found")


@pytest.mark.parametrize(
    ("scopes", "subject", "status"),
    [
        (("meetings:read", "meetings:write"), "meeting", 422), (("meetings:write",), "meeting", 403),
        (("meetings:read", "leads:read", "leads:write"), "meeting", 403), (("leads:read", "leads:write"), "lead", 422),
        (("leads:read", "meetings:read", "meetings:write"), "lead", 403), (("ai:run", "sync:run"), "lead", 403),
    ],
)  # fmt: skip
async def test_feedback_needs_the_rights_to_its_subject(
    api: Api, scopes: tuple[str, ...], subject: str, status: int
) -> None:
    made = (await api.post("/api/v1/api-keys", json={"name": "Judge", "scopes": list(scopes)})).json()
    client = api.client({"x-api-key": made["key"]})
    body = {"subjectType": subject, "subjectId": NOBODY, "verdict": "wrong"}
    assert_problem(await client.post(FEEDBACK, json=body), status, "forbidden" if status == 403 else None)


async def test_agents_give_feedback_and_it_is_audited_and_idempotent(api: Api, sql: Sql) -> None:
    meeting = await make_meeting(api, region="asia")
    agent = await api.client_for("SALES_AGENT")
    body = about(meeting, "region", correctedValue="europe")
    answers = [await agent.post(FEEDBACK, json=body, headers={"Idempotency-Key": "f-1"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    [row] = await sql("SELECT actor FROM ai_feedback")
    assert row["actor"] == f"user:{agent.headers['x-test-user']}"
    [audit] = await sql("SELECT * FROM audit_logs WHERE action = 'ai.feedback'")
    assert (audit["entity_type"], audit["entity_id"], audit["actor"]) == ("meeting", meeting, row["actor"])
    assert audit["data"] == {"field": "region", "verdict": "wrong", "correctedValue": "europe"}


async def test_a_correction_of_a_value_that_is_configured_no_more_is_left_out(api: Api, sql: Sql) -> None:
    meeting = await make_meeting(api, region="asia")
    await give(api, about(meeting, "region", correctedValue="europe"))
    await sql("UPDATE ai_feedback SET corrected_value = '\"atlantis\"'")
    await reclassify(api, meeting, region="africa")
    row = await current(sql, meeting)
    assert (row["labels"]["region"], row["corrected_fields"]) == ("africa", [])


async def test_a_conversations_analysis_is_judged_by_whoever_sees_the_conversation(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    started = await api.post("/api/v1/conversations", json={"leadId": lead["id"], "channel": "web"})
    conversation = started.json()["id"]
    body = {"subjectType": "conversation", "subjectId": conversation, "field": "priority", "verdict": "wrong"}
    assert_problem(await api.post(FEEDBACK, json=body), 409, "nothing_to_judge")
    await sql(
        "UPDATE conversations SET ai_summary = 'x', ai_priority = 'LOW', ai_updated_at = now() WHERE id = %s",
        conversation,
    )
    told = await give(api, body)
    assert (told["modelValue"], told["verdict"]) == ("LOW", "wrong")
    assert_problem(await api.post(FEEDBACK, json=body | {"field": "region"}), 422, "field_unknown")
    assert_problem(await api.post(FEEDBACK, json=body | {"correctedValue": "HIGH"}), 422, "correction_not_wanted")
    assert_problem(await api.post(FEEDBACK, json=body | {"subjectId": NOBODY}), 422, "conversation_not_found")
    await api.make_user("somebody-else@example.com")
    agent = api.client({"authorization": f"Bearer {await api.token('somebody-else@example.com')}"})
    assert_problem(await agent.post(FEEDBACK, json=body), 422, "conversation_not_found")
