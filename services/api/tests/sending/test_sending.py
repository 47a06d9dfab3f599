"""Sending to a number: who gets it, in which conversation, and who may."""

import asyncio
from typing import Any

import httpx
import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem, make_lead

WHATSAPP, SMS = "/api/v1/whatsapp/send", "/api/v1/sms/send"
NUMBER = "+5491155551234"
OTHER = "+5491155554321"


async def send(client: Any, path: str = WHATSAPP, to: str = NUMBER, **more: Any) -> dict[str, Any]:
    answer = await client.post(path, json={"to": to, "text": "Hola", **more})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def conversation_of(api: Api, accepted: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/api/v1/conversations/{accepted['conversationId']}")).json()
    return found


async def start(api: Api, lead_id: str, channel: str = "whatsapp", client: httpx.AsyncClient | None = None) -> str:
    answer = await (client or api.root).post("/api/v1/conversations", json={"leadId": lead_id, "channel": channel})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize(("path", "channel"), [(WHATSAPP, "whatsapp"), (SMS, "sms")])
async def test_a_message_to_a_number_is_accepted_posted_and_queued(api: Api, sql: Sql, path: str, channel: str) -> None:
    lead = await make_lead(api, phone=NUMBER)
    answer = await api.post(path, json={"to": "+54 9 11 5555-1234", "text": "Hola\n¿mañana?"})
    assert answer.status_code == 202
    accepted = answer.json()
    assert accepted.keys() == {"taskId", "deliveryId", "messageId", "conversationId", "interactionId", "status"}
    assert accepted["status"] == "queued"
    assert answer.headers["location"] == f"/api/v1/tasks/{accepted['taskId']}"
    assert answer.headers["retry-after"] == "2"
    conversation = await conversation_of(api, accepted)
    assert (conversation["leadId"], conversation["channel"]) == (lead["id"], channel)
    [message] = (await api.get(f"/api/v1/conversations/{conversation['id']}/messages")).json()["data"]
    assert message["id"] == accepted["messageId"]
    assert (message["contentText"], message["senderType"], message["status"]) == ("Hola\n¿mañana?", "AGENT", "PENDING")
    [row] = await sql("SELECT * FROM deliveries")
    assert (str(row["id"]), row["to_number"], row["state"]) == (accepted["deliveryId"], NUMBER, "PENDING")
    task = (await api.get(answer.headers["location"])).json()
    assert (task["kind"], task["status"], task["subjectId"]) == ("delivery.send", "queued", accepted["deliveryId"])
    [interaction] = await sql("SELECT * FROM interactions")
    assert str(interaction["id"]) == accepted["interactionId"]
    assert (interaction["direction"], interaction["customer_phone"]) == ("OUTBOUND", NUMBER)


async def test_an_unknown_number_becomes_a_lead_once(api: Api, sql: Sql) -> None:
    answers = await asyncio.gather(*(send(api, SMS if n % 2 else WHATSAPP) for n in range(10)))
    assert len({answer["conversationId"] for answer in answers}) == 2
    assert len({answer["deliveryId"] for answer in answers}) == 10
    [lead] = await sql("SELECT l.source, p.first_name FROM leads l JOIN persons p ON p.id = l.person_id")
    assert lead == {"source": "webhook", "first_name": "1234"}
    assert len(await sql("SELECT 1 FROM interactions")) == 2


@pytest.mark.parametrize("to", ["", "12", "hola", "+1", "+5491155551234567890", "11 5555 1234", "+54 11", "x" * 51])
async def test_what_is_no_number_is_refused(api: Api, sql: Sql, to: str) -> None:
    answer = await api.post(WHATSAPP, json={"to": to, "text": "Hola"})
    body = assert_problem(answer, 422, not_shown=to if len(to) > 3 else "")
    assert body["code"] in ("phone_invalid", "validation_failed")
    assert await sql("SELECT 1 FROM leads") == []


async def test_a_number_without_a_plus_is_of_the_default_region(
    make_api: MakeApi, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFAULT_REGION", "AR")
    api = await make_api()
    await send(api, SMS, to="11 15-5555-1234")
    assert (await sql("SELECT to_number FROM deliveries")) == [{"to_number": NUMBER}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SMS, {"text": "x" * 1_601}), (WHATSAPP, {"text": "x" * 10_001}), (SMS, {"text": ""}), (WHATSAPP, {"text": " "}),
        (SMS, {"mediaUrl": "https://example.com/a.png"}), (WHATSAPP, {"mediaUrl": "ftp://example.com/a"}),
        (WHATSAPP, {"conversationId": "x"}), (WHATSAPP, {"text": None}), (SMS, {"text": "a\u0007b"}), (WHATSAPP, {"to": None}),
    ],
)  # fmt: skip
async def test_bodies_that_do_not_fit_are_refused(api: Api, path: str, body: dict[str, Any]) -> None:
    assert_problem(await api.post(path, json={"to": NUMBER, "text": "Hola", **body}), 422, "validation_failed")


@pytest.mark.parametrize(("path", "longest"), [(SMS, 1_600), (WHATSAPP, 10_000)])
async def test_the_longest_text_is_accepted(api: Api, path: str, longest: int) -> None:
    await send(api, path, text="ñ" * longest)


async def test_an_sms_conversation_takes_no_longer_answers_than_an_sms_has(api: Api, sql: Sql) -> None:
    accepted = await send(api, SMS)
    path = f"/api/v1/conversations/{accepted['conversationId']}/messages"
    assert_problem(await api.post(path, json={"contentText": "x" * 1_601}), 422, "sms_too_long")
    assert len(await sql("SELECT 1 FROM messages")) == 1


async def test_media_go_along(api: Api, sql: Sql) -> None:
    for url, kind in [("https://x.example/a.PNG?v=1", "IMAGE"), ("https://x.example/a.pdf", "FILE")]:
        accepted = await send(api, mediaUrl=url)
        [row] = await sql("SELECT content_type, media_url FROM messages WHERE id = %s", accepted["messageId"])
        assert row == {"content_type": kind, "media_url": url}


async def test_an_idempotency_key_sends_once(api: Api, sql: Sql) -> None:
    body = {"to": NUMBER, "text": "Hola"}
    answers = await asyncio.gather(
        *(api.post(SMS, json=body, headers={"Idempotency-Key": "order-17"}) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} <= {202, 409}
    again = await api.post(SMS, json=body, headers={"Idempotency-Key": "order-17"})
    assert again.headers["idempotent-replayed"] == "true"
    assert [str(row["id"]) for row in await sql("SELECT id FROM deliveries")] == [again.json()["deliveryId"]]


# In a conversation that is named.


async def test_a_named_conversation_gets_the_message(api: Api) -> None:
    conversation = await start(api, (await make_lead(api, phone=NUMBER))["id"])
    assert (await send(api, conversationId=conversation))["conversationId"] == conversation


async def test_a_conversation_on_another_channel_or_with_another_number_does_not_fit(api: Api, sql: Sql) -> None:
    lead = (await make_lead(api, phone=NUMBER))["id"]
    nobody = (await make_lead(api))["id"]
    cases = [
        (await start(api, lead, "sms"), NUMBER),
        (await start(api, lead), OTHER),
        (await start(api, nobody), NUMBER),
    ]
    for conversation, to in cases:
        body = {"to": to, "text": "Hola", "conversationId": conversation}
        assert_problem(await api.post(WHATSAPP, json=body), 422, "conversation_does_not_fit")
    assert await sql("SELECT 1 FROM messages") == []
    assert len(await sql("SELECT 1 FROM leads")) == 2


async def test_an_unknown_conversation_is_404_and_a_closed_one_409(api: Api) -> None:
    conversation = await start(api, (await make_lead(api, phone=NUMBER))["id"])
    body = {"to": NUMBER, "text": "Hola", "conversationId": "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"}
    assert_problem(await api.post(WHATSAPP, json=body), 404, "conversation_not_found")
    await api.patch(f"/api/v1/conversations/{conversation}", json={"status": "CLOSED"})
    answer = await api.post(WHATSAPP, json=body | {"conversationId": conversation})
    assert_problem(answer, 409, "conversation_closed")
    assert (await send(api))["conversationId"] != conversation


async def test_a_lead_with_two_numbers_gets_it_at_the_one_that_was_named_and_answers_follow(api: Api, sql: Sql) -> None:
    lead = (await make_lead(api, phone=NUMBER))["id"]
    await sql("INSERT INTO lead_phones (phone_e164, lead_id) VALUES (%s, %s)", OTHER, lead)
    accepted = [await send(api, to=to) for to in (NUMBER, OTHER, OTHER, NUMBER)]
    assert len({answer["conversationId"] for answer in accepted}) == 1
    assert len({answer["interactionId"] for answer in accepted}) == 3
    path = f"/api/v1/conversations/{accepted[0]['conversationId']}/messages"
    assert (await api.post(path, json={"contentText": "Y otra cosa"})).status_code == 201
    rows = await sql("SELECT to_number FROM deliveries ORDER BY id")
    assert [row["to_number"] for row in rows] == [NUMBER, OTHER, OTHER, NUMBER, NUMBER]
    assert len(await sql("SELECT 1 FROM interactions WHERE status = 'IN_PROGRESS'")) == 1


# Who may.


async def test_an_agent_s_new_conversation_is_their_own(api: Api) -> None:
    agent = await api.client_for("SALES_AGENT")
    accepted = await send(agent)
    assert (await conversation_of(api, accepted))["assignedAgentId"] == agent.headers["x-test-user"]
    assert (await send(agent))["conversationId"] == accepted["conversationId"]


async def test_an_agent_cannot_write_in_somebody_else_s_conversation(api: Api, sql: Sql) -> None:
    mine, other = await api.client_for("SALES_AGENT"), await api.client_for("SALES_AGENT")
    theirs = (await send(other))["conversationId"]
    for body in ({}, {"conversationId": theirs}):
        answer = await mine.post(WHATSAPP, json={"to": NUMBER, "text": "Hola", **body})
        assert_problem(answer, 403, "not_your_conversation")
    await send(api, SMS)  # nobody's
    assert_problem(await mine.post(SMS, json={"to": NUMBER, "text": "Hola"}), 403, "not_your_conversation")
    assert len(await sql("SELECT 1 FROM messages")) == 2


async def test_a_conversation_that_changes_hands_while_it_is_written_to_is_written_to_by_one_who_may(
    api: Api, sql: Sql
) -> None:
    one, two = await api.client_for("SALES_AGENT"), await api.client_for("SALES_AGENT")
    conversation = (await send(one))["conversationId"]

    async def assign(agent: httpx.AsyncClient) -> None:
        body = {"agentId": agent.headers["x-test-user"]}
        await api.post(f"/api/v1/conversations/{conversation}/assign", json=body)

    async def write(agent: httpx.AsyncClient) -> int:
        return (await agent.post(WHATSAPP, json={"to": NUMBER, "text": "Hola"})).status_code

    statuses = await asyncio.gather(
        *(step for n in range(10) for step in (assign(two if n % 2 else one), write(one), write(two)))
    )
    written = [status for status in statuses if status is not None]
    assert set(written) <= {202, 403}
    assert len(await sql("SELECT 1 FROM messages")) == 1 + written.count(202)
    assert len(await sql("SELECT 1 FROM deliveries")) == 1 + written.count(202)


async def test_writers_of_all_ways_at_once_wait_for_each_other_and_none_fails(api: Api, sql: Sql) -> None:
    """Sending locks a lead and then its conversation, posting the other way round: they must not wait in a circle."""
    accepted = await send(api)
    path = f"/api/v1/conversations/{accepted['conversationId']}/messages"
    answers = await asyncio.gather(
        *(api.post(WHATSAPP, json={"to": NUMBER, "text": f"A {n}"}) for n in range(20)),
        *(api.post(path, json={"contentText": f"B {n}"}) for n in range(20)),
    )
    assert {answer.status_code for answer in answers} == {201, 202}
    assert len(await sql("SELECT 1 FROM deliveries")) == 41
    assert len(await sql("SELECT 1 FROM interactions")) == 1
