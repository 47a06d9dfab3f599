"""What ElevenLabs tells about calls becomes interactions with everything that is known about them."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from inbound_testkit import PHONE, Inbox, transcription

from contactship_common.models import WebhookEndpoint
from contactship_common.uow import unit_of_work


async def test_a_finished_call_becomes_an_interaction_of_the_lead_with_that_number(inbox: Inbox) -> None:
    task = await inbox.call(transcription())
    assert task["status"] == "succeeded"
    call, details, lead = [await inbox.one(table) for table in ("interactions", "call_details", "leads")]
    assert (call["channel"], call["direction"], call["status"]) == ("CALL", "INBOUND", "COMPLETED")
    assert (call["from_number"], call["to_number"], call["customer_phone"]) == (PHONE, "+14155550100", PHONE)
    assert (call["ai_handled"], call["outcome"], call["assigned_agent"]) == (True, "RESOLVED", "Sofía")
    assert call["started_at"] == datetime.fromtimestamp(1_760_000_000, UTC)
    assert call["ended_at"] == datetime.fromtimestamp(1_760_000_065, UTC)
    assert call["lead_id"] == lead["id"]
    assert (lead["source"], lead["email"]) == ("webhook", None)
    assert (await inbox.one("persons"))["first_name"] == "1234"
    assert details["transcript_text"] == "agent: Hola, ¿en qué puedo ayudarlo?\nuser: Quiero saber el precio"
    assert (details["summary"], details["duration_sec"]) == ("Preguntó el precio.", 65)
    assert details["hangup_reason"] == "user hung up"
    assert (await inbox.one("webhook_inbox"))["handled_at"] is not None


async def test_the_recording_that_follows_is_noted_and_not_kept(inbox: Inbox) -> None:
    await inbox.call(transcription())
    audio = base64.b64encode(b"\x00" * 300_000).decode()
    event = {"type": "post_call_audio", "event_timestamp": 1_760_000_080}
    await inbox.call(event | {"data": {"agent_id": "a", "conversation_id": "conv_1", "full_audio": audio}})
    [_, told] = await inbox.sql("SELECT * FROM interaction_events ORDER BY id")
    assert (told["type"], told["normalized"]["has_audio"]) == ("post_call_audio", True)
    assert told["raw"]["data"]["full_audio"] == "[400000 characters of audio left out]"
    assert (await inbox.one("interactions"))["status"] == "COMPLETED"
    assert (await inbox.one("call_details"))["transcript_text"] is not None


async def test_what_somebody_noted_about_a_call_stays_when_its_recording_comes(inbox: Inbox) -> None:
    await inbox.call(transcription())
    await inbox.sql("UPDATE interactions SET outcome = 'ESCALATED', intent = 'bill', queue = 'support'")
    audio = {"type": "post_call_audio", "event_timestamp": 1_760_000_080}
    await inbox.call(audio | {"data": {"conversation_id": "conv_1", "full_audio": "AAAA"}})
    call = await inbox.one("interactions")
    assert (call["outcome"], call["intent"], call["queue"]) == ("ESCALATED", "bill", "support")


async def test_a_call_that_somebody_ended_stays_ended_whatever_is_told_of_it_later(inbox: Inbox) -> None:
    await inbox.call({"event_id": "1", "call_id": "c", "status": "ringing", "from": PHONE})
    await inbox.sql("UPDATE interactions SET status = 'COMPLETED', ended_at = now()")
    await inbox.call({"event_id": "2", "call_id": "c", "status": "in_progress", "agent": "Sofía"})
    call = await inbox.one("interactions")
    assert (call["status"], call["assigned_agent"]) == ("COMPLETED", "Sofía")
    assert call["ended_at"] is not None


@pytest.mark.parametrize(
    ("reason", "status"), [("busy", "ABANDONED"), ("no-answer", "ABANDONED"), ("unknown", "FAILED"), (None, "FAILED")]
)
async def test_a_call_of_ours_that_never_came_about(inbox: Inbox, reason: str | None, status: str) -> None:
    body = {"From": "+14155550100", "To": PHONE, "CallStatus": reason}
    data = {"conversation_id": "c", "failure_reason": reason, "metadata": {"type": "twilio", "body": body}}
    await inbox.call({"type": "call_initiation_failure", "event_timestamp": 1_760_000_000, "data": data})
    call = await inbox.one("interactions")
    assert (call["status"], call["direction"], call["customer_phone"]) == (status, "OUTBOUND", PHONE)
    assert call["lead_id"] is not None


@pytest.mark.parametrize("phone_call", [None, {}, {"direction": "inbound", "external_number": "anonymous"}])
async def test_a_call_without_a_number_has_no_lead(inbox: Inbox, phone_call: Any) -> None:
    await inbox.call(transcription(metadata={"phone_call": phone_call}))
    assert (await inbox.one("interactions"))["lead_id"] is None
    assert await inbox.count("leads") == 0


async def test_a_call_is_linked_as_soon_as_its_number_is_known(inbox: Inbox) -> None:
    await inbox.call({"event_id": "1", "call_id": "c", "status": "ringing"})
    assert (await inbox.one("interactions"))["lead_id"] is None
    await inbox.call({"event_id": "2", "call_id": "c", "status": "in_progress", "from": PHONE, "name": "Ana"})
    assert (await inbox.one("interactions"))["lead_id"] == (await inbox.one("leads"))["id"]
    assert (await inbox.one("persons"))["first_name"] == "Ana"


async def test_a_national_number_waits_for_its_country_and_is_replayed(inbox: Inbox) -> None:
    entry = await inbox.put_call({"event_id": "1", "call_id": "c", "status": "done", "from": "011 4321-5678"})
    task = await inbox.handle(entry)
    assert (task["status"], task["error"]["code"]) == ("failed", "phone_region_missing")
    stored = await inbox.one("webhook_inbox")
    assert (stored["handled_at"], stored["attempts"], stored["error"]["code"]) == (None, 1, "phone_region_missing")
    assert await inbox.count("interactions") == 0
    inbox.use(default_region="AR")
    assert (await inbox.handle(entry))["status"] == "succeeded"
    stored = await inbox.one("webhook_inbox")
    assert (stored["handled_at"] is not None, stored["attempts"], stored["error"]) == (True, 2, None)
    assert (await inbox.one("interactions"))["customer_phone"] == "+541143215678"


async def test_later_events_of_a_call_whose_id_is_a_bare_id_are_not_taken_for_the_first(inbox: Inbox) -> None:
    for status in ("initiated", "in_progress", "done"):
        await inbox.call({"id": "call-7", "type": f"call.{status}", "status": status, "from": PHONE})
    assert (await inbox.one("interactions"))["status"] == "COMPLETED"
    assert await inbox.count("interaction_events") == 3


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_in_whatever_order_its_events_come_a_call_is_of_the_same_lead(
    inbox: Inbox, order: tuple[int, ...]
) -> None:
    ours, theirs, at = "+14155550100", PHONE, 1_760_000_000
    told = (
        {"event_id": "1", "call_id": "c", "from": ours, "to": theirs, "timestamp": at, "status": "ringing"},
        {"event_id": "2", "call_id": "c", "direction": "outbound", "timestamp": at + 5, "status": "in_progress"},
        {"event_id": "3", "call_id": "c", "timestamp": at + 60, "status": "done", "duration": 55},
    )
    for n in order:
        assert (await inbox.call(told[n]))["status"] == "succeeded"
    call = await inbox.one("interactions")
    assert (call["direction"], call["status"], call["customer_phone"]) == ("OUTBOUND", "COMPLETED", theirs)
    [answers] = await inbox.sql("SELECT lead_id FROM lead_phones WHERE phone_e164 = %s", theirs)
    assert call["lead_id"] == answers["lead_id"]


async def test_a_call_that_somebody_gave_to_another_lead_stays_with_it(inbox: Inbox) -> None:
    await inbox.call({"event_id": "1", "call_id": "c", "from": "+14155550100", "to": PHONE, "status": "ringing"})
    await inbox.call({"event_id": "9", "call_id": "other", "from": "+5491140000000", "status": "done"})
    [chosen] = await inbox.sql("SELECT lead_id FROM lead_phones WHERE phone_e164 = '+5491140000000'")
    await inbox.sql(
        "UPDATE interactions SET lead_id = %s WHERE provider_conversation_id = 'c' RETURNING id", chosen["lead_id"]
    )
    await inbox.call({"event_id": "2", "call_id": "c", "direction": "outbound", "status": "done"})
    [call] = await inbox.sql("SELECT lead_id, direction FROM interactions WHERE provider_conversation_id = 'c'")
    assert (call["direction"], call["lead_id"]) == ("OUTBOUND", chosen["lead_id"])


async def test_numbers_that_no_table_knows_lose_no_call(inbox: Inbox) -> None:
    told = {"status": "done", "from": "+999123456789", "to": "4155550100"}  # ours, as the provider writes it
    assert (await inbox.call({"event_id": "1", "call_id": "c", **told}))["status"] == "succeeded"
    call = await inbox.one("interactions")
    assert (call["from_number"], call["to_number"]) == ("+999123456789", "4155550100")
    assert (call["customer_phone"], call["lead_id"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"), (b"{", "not_json"), (b"\xff\xfe\x00", "not_json"), (b'"\\ud800"', "not_json"),
        (b"[]", "unknown_payload"), (b"7", "unknown_payload"), (b"null", "unknown_payload"),
        (b"{}", "unknown_payload"), (b'{"hello": "world"}', "unknown_payload"),
        (b'{"type": "post_call_audio", "data": {}}', "conversation_id_missing"),
        (b'{"from": {"a": [1]}, "call_id": true, "status": 1e3}', "unknown_payload"),
    ],
)  # fmt: skip
async def test_what_cannot_be_understood_stays_with_its_reason(inbox: Inbox, body: bytes, code: str) -> None:
    task = await inbox.call(body)
    assert (task["status"], task["error"]["code"]) == ("failed", code)
    stored = await inbox.one("webhook_inbox")
    assert (stored["handled_at"], stored["error"]["code"], stored["attempts"]) == (None, code, 1)


async def test_handled_again_it_has_no_second_effect(inbox: Inbox) -> None:
    entry = await inbox.put_call(transcription())
    await inbox.handle(entry)
    assert (await inbox.handle(entry))["result"] == {"handledBefore": True}
    await inbox.sql("UPDATE webhook_inbox SET handled_at = NULL")
    assert (await inbox.handle(entry))["result"]["duplicate"] is True
    assert (await inbox.count("interactions"), await inbox.count("interaction_events")) == (1, 1)


async def test_events_of_one_call_at_the_same_moment_make_one_interaction(inbox: Inbox) -> None:
    statuses = ["initiated", "ringing", "in-progress", "done"] * 5
    entries = [
        await inbox.put_call({"event_id": str(n), "call_id": "c", "status": status, "from": PHONE})
        for n, status in enumerate(statuses)
    ]
    tasks = await asyncio.gather(*map(inbox.handle, entries))
    assert {task["status"] for task in tasks} == {"succeeded"}
    assert (await inbox.one("interactions"))["status"] == "COMPLETED"
    assert (await inbox.count("leads"), await inbox.count("interaction_events")) == (1, len(statuses))


async def test_whoever_subscribed_hears_once_that_a_call_has_ended(inbox: Inbox) -> None:
    async with unit_of_work(inbox.runtime) as uow:
        endpoint = WebhookEndpoint(url="https://receiver.example", events=["interaction.completed"], secret="whsec_x")
        uow.session.add(endpoint)
    await inbox.call({"event_id": "1", "call_id": "c", "status": "ringing", "from": PHONE})
    assert await inbox.count("outbound_deliveries") == 0
    await inbox.call({"event_id": "2", "call_id": "c", "status": "done", "duration": 12})
    await inbox.call({"event_id": "3", "call_id": "c", "status": "done", "outcome": "escalated"})
    told = await inbox.one("outbound_deliveries")
    data = json.loads(told["payload"])["data"]
    assert told["event_type"] == "interaction.completed"
    assert (data["channel"], data["status"], data["durationSec"]) == ("CALL", "COMPLETED", 12)
    assert data["interactionId"] == str((await inbox.one("interactions"))["id"])
    assert data["endedAt"].endswith("Z")
    await inbox.call({"event_id": "4", "call_id": "lost", "status": "no-answer", "from": PHONE})
    assert await inbox.count("outbound_deliveries") == 1, "it has ended, but was never completed"


async def test_nothing_a_provider_sends_breaks_a_column(inbox: Inbox) -> None:
    long = "x" * 5_000
    hostile = {
        "event_id": long, "call_id": long, "event_type": long, "from": long, "to": long, "agent": long, "intent": long,
        "status": "done", "outcome": long, "recording_url": "https://a.example/" + long, "transcript": "\x00a" * 100,
        "transcript_id": long, "duration": 10**30, "hangup_reason": long, "timestamp": 10**30, "queue": [long],
        "name": long, "customer_ref": {"a": long}, "token": "geheim", "ended_at": "99999-01-01T00:00:00Z",
        "deep": json.loads("[" * 900 + "]" * 900), "\x00key": 1,
    }  # fmt: skip
    task = await inbox.call(hostile)
    assert task["status"] == "succeeded", task["error"]
    details = await inbox.one("call_details")
    assert (details["transcript_text"], details["recording_url"], details["duration_sec"]) == ("a" * 100, None, None)
    assert (await inbox.one("interaction_events"))["raw"]["token"] == "[removed]"
