"""What ElevenLabs tells about calls becomes interactions with everything that is known about them."""

from datetime import UTC, datetime

from inbound_testkit import PHONE, Inbox, transcription


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
