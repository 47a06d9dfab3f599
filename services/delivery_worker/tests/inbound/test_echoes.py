"""What was sent from our side comes back: our own sendings are matched, and what was typed on the phone is kept."""

from typing import Any

import pytest
from inbound_testkit import PHONE, Inbox, incoming, outgoing

from contactship_common.conversations.posting import NewMessage, post_message
from contactship_common.models import SenderType
from contactship_common.uow import unit_of_work


async def we_send(inbox: Inbox, text: str, state: str = "SENDING") -> Any:
    """A message of ours whose sending has begun; returns its delivery's id."""
    if not await inbox.count("conversations"):
        await inbox.whatsapp(incoming("Hola"))
    conversation = await inbox.one("conversations")
    async with unit_of_work(inbox.runtime) as uow:
        posted = await post_message(uow, conversation["id"], NewMessage(SenderType.AGENT, text))
    assert posted is not None
    [row] = await inbox.sql(
        "UPDATE deliveries SET state = %s, sending_at = now(), provider = 'BUILDERBOT' WHERE message_id = %s RETURNING id",
        state,
        posted.message.id,
    )
    return row["id"]


async def delivery(inbox: Inbox, delivery_id: Any) -> dict[str, Any]:
    [row] = await inbox.sql(
        "SELECT d.state, d.provider_message_id, m.status FROM deliveries d JOIN messages m ON m.id = d.message_id"
        " WHERE d.id = %s",
        delivery_id,
    )
    return row


@pytest.mark.parametrize("state", ["SENDING", "UNKNOWN", "SENT"])
async def test_an_echo_settles_our_own_sending(inbox: Inbox, state: str) -> None:
    sent = await we_send(inbox, "Le paso el presupuesto", state)
    echo = outgoing("Le paso el presupuesto")
    task = await inbox.whatsapp(echo)
    assert task["result"] == {"deliveryId": str(sent), "echo": True}
    assert await inbox.count("messages") == 2
    found = await delivery(inbox, sent)
    assert (found["state"], found["status"]) == ("SENT", "SENT")
    assert found["provider_message_id"] == echo["data"]["respMessage"]["key"]["id"]


async def test_an_echo_is_known_by_the_provider_s_id(inbox: Inbox) -> None:
    sent = await we_send(inbox, "Hola Ana", "SENT")
    await inbox.sql("UPDATE deliveries SET provider_message_id = 'id-1', provider_rank = 4 WHERE id = %s", sent)
    echo = {"respMessage": {"key": {"id": "id-1", "remoteJid": PHONE[1:]}}}
    task = await inbox.whatsapp(outgoing("otro texto, por algún motivo", **echo))
    assert task["result"]["deliveryId"] == str(sent)
    assert await inbox.count("messages") == 2


async def test_two_equal_messages_have_two_echoes_and_a_third_was_typed(inbox: Inbox) -> None:
    first, second = await we_send(inbox, "ok"), await we_send(inbox, "ok")
    told = [(await inbox.whatsapp(outgoing("ok")))["result"] for _ in range(3)]
    assert [one.get("deliveryId") for one in told] == [str(first), str(second), None]
    rows = await inbox.sql("SELECT content_text, sender_type, status FROM messages ORDER BY seq")
    assert [tuple(row.values()) for row in rows[1:]] == [("ok", "AGENT", "SENT")] * 3


async def test_what_somebody_typed_on_the_phone_is_kept_and_not_sent(inbox: Inbox) -> None:
    await inbox.whatsapp(incoming("Hola"))
    await inbox.whatsapp(outgoing("Buenas, soy Pedro"))
    rows = await inbox.sql("SELECT content_text, sender_type, status FROM messages ORDER BY seq")
    assert tuple(rows[1].values()) == ("Buenas, soy Pedro", "AGENT", "SENT")
    assert await inbox.count("deliveries") == 0
    assert (await inbox.one("conversations"))["unreplied"] is False


async def test_an_old_sending_with_that_text_is_not_this_one(inbox: Inbox) -> None:
    sent = await we_send(inbox, "Buen día")
    await inbox.sql("UPDATE deliveries SET sending_at = now() - interval '11 minutes' WHERE id = %s", sent)
    assert "messageId" in (await inbox.whatsapp(outgoing("Buen día")))["result"]
    assert (await delivery(inbox, sent))["state"] == "SENDING"
