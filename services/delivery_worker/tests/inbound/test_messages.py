"""WhatsApp and SMS messages from people become messages of their conversation, once."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from inbound_testkit import PHONE, Inbox, incoming

from contactship_common.contact_center.sending import number_of
from contactship_common.models import WebhookEndpoint
from contactship_common.uow import unit_of_work


async def test_a_message_starts_a_conversation_with_a_new_lead(inbox: Inbox) -> None:
    task = await inbox.whatsapp(incoming("Hola", messageTimestamp=1_760_000_000))
    assert task["status"] == "succeeded"
    person, conversation, message, interaction = [
        await inbox.one(table) for table in ("persons", "conversations", "messages", "interactions")
    ]
    assert (person["first_name"], person["phone_e164"]) == ("Ana Paz", PHONE)
    assert (conversation["channel"], conversation["unread_count"], conversation["unreplied"]) == ("whatsapp", 1, True)
    assert (message["sender_type"], message["content_text"], message["seq"]) == ("LEAD", "Hola", 1)
    assert message["sent_at"] == datetime.fromtimestamp(1_760_000_000, UTC)
    assert message["interaction_id"] == interaction["id"]
    assert (interaction["channel"], interaction["direction"], interaction["status"]) == (
        "WHATSAPP", "INBOUND", "IN_PROGRESS",
    )  # fmt: skip
    assert interaction["customer_phone"] == PHONE
    [analysis] = await inbox.sql("SELECT * FROM tasks WHERE kind = 'conversation.analysis'")
    assert analysis["subject_id"] == conversation["id"]


async def test_later_messages_join_the_open_conversation_and_its_interaction(inbox: Inbox) -> None:
    for text in ("Hola", "¿Están?", "Gracias"):
        await inbox.whatsapp(incoming(text))
    rows = await inbox.sql("SELECT content_text FROM messages ORDER BY seq")
    assert [row["content_text"] for row in rows] == ["Hola", "¿Están?", "Gracias"]
    assert [await inbox.count(table) for table in ("leads", "conversations", "interactions")] == [1, 1, 1]
    assert await inbox.count("interaction_events") == 3


async def test_answers_go_to_the_number_that_a_person_wrote_from_last(inbox: Inbox) -> None:
    await inbox.whatsapp(incoming("Hola"))
    other = "+5491155559876"
    await inbox.sql("INSERT INTO lead_phones (phone_e164, lead_id) SELECT %s, id FROM leads", other)
    await inbox.whatsapp(incoming("Este es mi otro número", **{"from": other[1:]}))
    talk = await inbox.one("conversations")
    assert talk["last_seq"] == 2
    async with unit_of_work(inbox.runtime) as uow:
        assert await number_of(uow, talk["id"], talk["lead_id"]) == other
    spoken = await inbox.sql(
        "SELECT m.content_text, i.customer_phone, i.status FROM messages m JOIN interactions i"
        " ON i.id = m.interaction_id ORDER BY m.seq"
    )
    assert [(row["customer_phone"], row["status"]) for row in spoken] == [(PHONE, "COMPLETED"), (other, "IN_PROGRESS")]


async def test_after_a_conversation_was_closed_a_new_one_is_opened(inbox: Inbox) -> None:
    await inbox.whatsapp(incoming("Hola"))
    await inbox.sql("UPDATE conversations SET status = 'CLOSED'")
    await inbox.sql("UPDATE interactions SET status = 'COMPLETED', ended_at = now()")
    await inbox.whatsapp(incoming("Otra cosa"))
    assert [await inbox.count(table) for table in ("leads", "conversations", "interactions")] == [1, 2, 2]


async def test_the_same_message_again_and_again_is_one(inbox: Inbox) -> None:
    """Also where it stands in several entries, because it was told under several names."""
    event = incoming("Una vez", id="wamid.1")
    entries = [await inbox.put_whatsapp({"event": f"name.{n}", "data": {"id": "wamid.1"}}) for n in range(4)]
    await inbox.sql("UPDATE webhook_inbox SET body = %s", json.dumps(event).encode())
    tasks = await asyncio.gather(*(inbox.handle(entry) for entry in entries for _ in range(13)))
    assert {task["status"] for task in tasks} <= {"succeeded", "running"}
    tasks = [await inbox.handle(entry) for entry in entries]
    assert {task["status"] for task in tasks} == {"succeeded"}
    assert [await inbox.count(table) for table in ("messages", "interactions", "leads")] == [1, 1, 1]


async def test_people_who_write_at_the_same_moment_get_one_lead_each(inbox: Inbox) -> None:
    phones = [f"54911555512{n:02d}" for n in range(5)]
    entries = [await inbox.put_whatsapp(incoming(f"{n}", **{"from": phone})) for n in range(6) for phone in phones]
    tasks = await asyncio.gather(*map(inbox.handle, entries))
    for _ in range(5):  # what gave way to another at the same moment is tried again
        tasks = [await inbox.handle(e) for e, t in zip(entries, tasks, strict=True) if t["status"] != "succeeded"]
        entries = []
    assert tasks == []
    assert [await inbox.count(table) for table in ("leads", "conversations", "interactions")] == [5, 5, 5]
    [row] = await inbox.sql("SELECT count(*) AS n, count(DISTINCT (conversation_id, seq)) AS places FROM messages")
    assert (row["n"], row["places"]) == (30, 30)


async def test_a_lead_with_that_number_gets_the_message(inbox: Inbox) -> None:
    await inbox.sql(
        "WITH p AS (INSERT INTO persons (id, first_name, last_name, phone, phone_e164) VALUES "
        "(gen_random_uuid(), 'Eva', 'Sol', %s, %s) RETURNING id) INSERT INTO leads (id, person_id, email, source, status,"
        " search_text, name_sort, version) SELECT gen_random_uuid(), id, 'eva@example.com', 'manual', 'new', '', '', 1 FROM p",
        PHONE,
        PHONE,
    )
    await inbox.whatsapp(incoming())
    lead = await inbox.one("leads")
    assert lead["email"] == "eva@example.com"
    assert (await inbox.one("conversations"))["lead_id"] == lead["id"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"urlTempFile": "https://files.example/a.jpg", "body": "_event_media__1"}, ("IMAGE", None)),
        ({"media_url": "https://files.example/a.pdf", "body": "Mi CV"}, ("FILE", "Mi CV")),
        ({"attachment": [{"url": "https://f.example/v", "mimetype": "audio/ogg"}]}, ("AUDIO", None)),
        (
            {"attachment": [{"url": "https://f.example/a.mp4"}, {"url": "https://f.example/b.png"}], "body": "Dos"},
            ("VIDEO", "Dos\nhttps://f.example/b.png"),
        ),
        (
            {"urlTempFile": "https://f.example/x", "message": {"imageMessage": {"caption": "Mirá"}}},
            ("IMAGE", "Mirá"),
        ),
    ],
)
async def test_media_come_with_their_kind(inbox: Inbox, data: dict[str, Any], expected: tuple[str, str | None]) -> None:
    await inbox.whatsapp(incoming(**({"body": None} | data)))
    message = await inbox.one("messages")
    assert (message["content_type"], message["content_text"]) == expected
    assert message["media_url"].startswith("https://f")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"eventName": "status.ready", "data": {}}, "other_event"),
        (incoming(**{"from": "120363041234567890@g.us"}), "not_a_person"),
        (incoming(**{"from": "status@broadcast"}), "not_a_person"),
        (incoming(remoteJid="120363041234567890@g.us"), "not_a_person"),
    ],
)
async def test_what_is_not_for_us_is_handled_without_effect(inbox: Inbox, event: Any, reason: str) -> None:
    task = await inbox.whatsapp(event)
    assert (task["status"], task["result"]) == ("succeeded", {"ignored": reason})
    assert (await inbox.one("webhook_inbox"))["handled_at"] is not None
    assert await inbox.count("leads") == 0


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (b"{", "not_json"), ([1], "unknown_payload"), ({}, "unknown_payload"),
        (incoming(**{"from": "5491"}), "no_phone_number"), (incoming(**{"from": "99182736@lid"}), "no_phone_number"),
        (incoming(""), "empty_message"), (incoming("_event_location__1"), "empty_message"),
    ],
)  # fmt: skip
async def test_a_message_that_is_not_understood_stays_in_the_inbox(inbox: Inbox, event: Any, code: str) -> None:
    task = await inbox.whatsapp(event)
    assert (task["status"], task["error"]["code"]) == ("failed", code)
    assert (await inbox.one("webhook_inbox"))["error"]["code"] == code
    assert await inbox.count("leads") == 0


async def test_an_sms_becomes_a_message(inbox: Inbox) -> None:
    form = {"MessageSid": "SM1", "From": PHONE, "To": "+14155550100", "Body": "Hola", "NumMedia": "0"}
    assert (await inbox.sms(form))["status"] == "succeeded"
    message, interaction = await inbox.one("messages"), await inbox.one("interactions")
    assert (message["content_text"], message["provider"], message["provider_message_id"]) == ("Hola", "TWILIO", "SM1")
    assert (interaction["channel"], interaction["to_number"]) == ("SMS", "+14155550100")
    assert (await inbox.one("conversations"))["channel"] == "sms"


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"From": PHONE, "Body": "x"}, "message_sid_missing"),
        ({"MessageSid": "SM1", "From": "BANCO", "Body": "x"}, "no_phone_number"),
        ({"MessageSid": "SM1", "From": "22000", "Body": "x"}, "no_phone_number"),
        ({"MessageSid": "SM1", "From": PHONE, "Body": ""}, "empty_message"),
    ],
)
async def test_an_sms_that_is_not_understood(inbox: Inbox, form: dict[str, str], code: str) -> None:
    task = await inbox.sms(form)
    assert (task["status"], task["error"]["code"]) == ("failed", code)


async def test_whoever_subscribed_hears_of_the_message(inbox: Inbox) -> None:
    async with unit_of_work(inbox.runtime) as uow:
        uow.session.add(WebhookEndpoint(url="https://receiver.example", events=["message.received"], secret="whsec_x"))
    await inbox.whatsapp(incoming("Hola"))
    data = json.loads((await inbox.one("outbound_deliveries"))["payload"])["data"]
    message = await inbox.one("messages")
    told = data["message"]
    assert (told["id"], told["contentText"], data["channel"]) == (str(message["id"]), "Hola", "whatsapp")
    assert data["leadId"] == str((await inbox.one("leads"))["id"])


async def test_nothing_a_message_says_breaks_a_column(inbox: Inbox) -> None:
    long = "x" * 100_000
    task = await inbox.whatsapp(
        incoming(
            "\x00" + long, id=long, name=long, messageTimestamp="never", urlTempFile=f"https://a.example/{long}",
            attachment={"url": 7}, message=[{"a": 1}], pushName={"b": long},
        )
    )  # fmt: skip
    assert task["status"] == "succeeded", task["error"]
    message = await inbox.one("messages")
    assert (len(message["content_text"]), message["media_url"], message["sent_at"]) == (65_536, None, None)
