"""Twilio's reports find the sending they are about, even when they are here first."""

from typing import Any
from uuid import uuid4

import pytest
from inbound_testkit import PHONE, Inbox

from contactship_common.conversations.opening import open_conversation
from contactship_common.conversations.posting import NewMessage, post_message
from contactship_common.models import Channel, SenderType
from contactship_common.uow import unit_of_work
from contactship_delivery_worker.inbound.sms_reports import WAITS_SECONDS


async def an_sms(inbox: Inbox, sid: str | None = None) -> Any:
    """An SMS of ours that is being sent; returns its delivery's id."""
    await inbox.sms({"MessageSid": "SM0", "From": PHONE, "Body": "Hola"})
    lead = await inbox.one("leads")
    async with unit_of_work(inbox.runtime) as uow:
        conversation_id, _ = await open_conversation(uow, lead["id"], Channel.SMS)
        await post_message(uow, conversation_id, NewMessage(SenderType.AGENT, "Respuesta"))
    [row] = await inbox.sql(
        "UPDATE deliveries SET state = 'SENDING', sending_at = now(), provider = 'TWILIO', provider_message_id = %s"
        " RETURNING id",
        sid,
    )
    return row["id"]


async def report(inbox: Inbox, status: str, *, sid: str = "SM1", delivery: Any = None, **fields: str) -> dict[str, Any]:
    query = {"delivery": str(delivery)} if delivery else {}
    return await inbox.sms({"MessageSid": sid, "MessageStatus": status} | fields, kind="sms_status", **query)


async def states(inbox: Inbox) -> tuple[str, str]:
    [row] = await inbox.sql("SELECT d.state, m.status FROM deliveries d JOIN messages m ON m.id = d.message_id")
    return row["state"], row["status"]


@pytest.mark.parametrize("by", ["delivery", "sid"])
async def test_a_report_raises_the_message(inbox: Inbox, by: str) -> None:
    sent = await an_sms(inbox, "SM1" if by == "sid" else None)
    await report(inbox, "delivered", delivery=sent if by == "delivery" else None)
    assert await states(inbox) == ("DELIVERED", "DELIVERED")
    await report(inbox, "sent", delivery=sent)
    assert await states(inbox) == ("DELIVERED", "DELIVERED")


async def test_a_failure_says_why_in_words(inbox: Inbox) -> None:
    sent = await an_sms(inbox)
    await report(inbox, "undelivered", delivery=sent, ErrorCode="30003")
    assert await states(inbox) == ("FAILED", "FAILED")
    [row] = await inbox.sql("SELECT error_code, error_message FROM messages WHERE sender_type = 'AGENT'")
    assert tuple(row.values()) == ("30003", "The phone is switched off or cannot be reached")


async def test_a_report_that_is_here_first_waits_and_is_matched(inbox: Inbox) -> None:
    entry = await inbox.put_sms({"MessageSid": "SM1", "MessageStatus": "delivered"}, kind="sms_status")
    for waited in range(2):
        task = await inbox.handle(entry)
        assert (task["status"], task["failures"], task["error"]["code"]) == ("queued", 0, "delivery_not_found")
        [stored] = await inbox.sql("SELECT * FROM webhook_inbox WHERE id = %s", entry)
        assert (stored["handled_at"], stored["attempts"]) == (None, waited + 1)
    await an_sms(inbox, "SM1")
    assert (await inbox.handle(entry))["status"] == "succeeded"
    assert await states(inbox) == ("DELIVERED", "DELIVERED")


async def test_a_report_about_nothing_of_ours_gives_up_and_can_be_replayed(inbox: Inbox) -> None:
    entry = await inbox.put_sms(
        {"MessageSid": "SM9", "MessageStatus": "sent"}, kind="sms_status", delivery=str(uuid4())
    )
    await inbox.sql("UPDATE webhook_inbox SET attempts = %s", len(WAITS_SECONDS))
    task = await inbox.handle(entry)
    assert (task["status"], task["error"]["code"]) == ("failed", "delivery_not_found")
    await an_sms(inbox, "SM9")
    assert (await inbox.handle(entry))["status"] == "succeeded"
    assert (await states(inbox))[0] == "SENT"


@pytest.mark.parametrize("status", ["", "exploded"])
async def test_an_unknown_status_is_not_understood(inbox: Inbox, status: str) -> None:
    task = await report(inbox, status)
    assert (task["status"], task["error"]["code"]) == ("failed", "unknown_status")
