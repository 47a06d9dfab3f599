"""Looking at a sending, sending again, and what cancelling its task means."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem

from contactship_common.models.base import new_id

End = Callable[..., Awaitable[None]]
NUMBER = "+5491155551234"


async def send(client: Any, path: str = "sms") -> dict[str, Any]:
    answer = await client.post(f"/api/v1/{path}/send", json={"to": NUMBER, "text": "Hola"})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


async def shown(client: Any, delivery_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/deliveries/{delivery_id}")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def make_code(sql: Sql) -> str:
    """A code's delivery, which has failed; its id."""
    challenge, delivery = new_id(), new_id()
    await sql(
        "INSERT INTO otp_challenges (id, phone_e164, purpose, nonce, expires_at, status, correlation_id, requested_by)"
        " VALUES (%s, %s, 'LOGIN_2FA', 'x', now(), 'FAILED', 'c1', 'somebody')",
        challenge,
        NUMBER,
    )
    await sql(
        "INSERT INTO deliveries (id, otp_challenge_id, channel, to_number, state, provider_rank)"
        " VALUES (%s, %s, 'SMS', %s, 'FAILED', 0)",
        delivery,
        challenge,
        NUMBER,
    )
    return str(delivery)


async def test_a_delivery_is_shown_without_its_number(api: Api, end: End) -> None:
    accepted = await send(api)
    told = await shown(api, accepted["deliveryId"])
    assert (told["status"], told["channel"], told["resendable"]) == ("PENDING", "SMS", False)
    assert told["to"].startswith("***")
    assert "5491155551234" not in str(told)
    for name in ("messageId", "conversationId", "interactionId", "taskId"):
        assert told[name] == accepted[name]
    await end(accepted["deliveryId"])
    told = await shown(api, accepted["deliveryId"])
    assert (told["status"], told["errorCode"], told["errorMessage"]) == ("FAILED", "21610", "On the STOP list")
    assert (told["resendable"], told["failedAt"] is not None) == (True, True)


async def test_an_answer_that_was_lost_shows_as_failed_unknown(api: Api, end: End) -> None:
    accepted = await send(api)
    await end(accepted["deliveryId"], lost=True)
    told = await shown(api, accepted["deliveryId"])
    assert (told["status"], told["errorCode"], told["resendable"]) == ("FAILED", "unknown", True)


async def test_a_delivery_that_waits_for_its_provider_is_pending_and_one_on_its_way_is_sending(
    api: Api, sql: Sql
) -> None:
    accepted = await send(api)
    await sql("UPDATE deliveries SET state = 'SENDING'")
    assert (await shown(api, accepted["deliveryId"]))["status"] == "PENDING"
    await sql("UPDATE tasks SET intent_at = now() WHERE kind = 'delivery.send'")
    assert (await shown(api, accepted["deliveryId"]))["status"] == "SENDING"
    await sql("UPDATE tasks SET status = 'running' WHERE kind = 'delivery.send'")
    assert (await shown(api, accepted["deliveryId"]))["status"] == "SENDING"


async def test_deliveries_of_others_and_of_codes_are_not_there(api: Api, sql: Sql, end: End) -> None:
    mine, other = await api.client_for("SALES_AGENT"), await api.client_for("SALES_AGENT")
    accepted = await send(mine)
    await end(accepted["deliveryId"])
    code = await make_code(sql)
    assert (await shown(mine, accepted["deliveryId"]))["resendable"]
    assert (await shown(api, code))["resendable"] is False
    for client, delivery_id in ((other, accepted["deliveryId"]), (mine, code), (api.root, str(new_id())), (mine, "x")):
        path = f"/api/v1/deliveries/{delivery_id}"
        missing = 404
        assert (await client.get(path)).status_code == missing
        assert (await client.post(f"{path}/resend")).status_code == missing
    assert len(await sql("SELECT 1 FROM deliveries")) == 2


@pytest.mark.parametrize("lost", [False, True])
async def test_a_failed_message_is_sent_again_as_another_delivery(api: Api, sql: Sql, end: End, lost: bool) -> None:
    accepted = await send(api)
    await end(accepted["deliveryId"], lost=lost)
    path = f"/api/v1/conversations/{accepted['conversationId']}/messages"
    assert (await api.get(path)).json()["data"][0]["status"] == "FAILED"
    answer = await api.post(f"/api/v1/deliveries/{accepted['deliveryId']}/resend")
    assert answer.status_code == 202, answer.text
    again = answer.json()
    assert answer.headers["location"] == f"/api/v1/tasks/{again['taskId']}"
    for name in ("messageId", "conversationId", "interactionId"):
        assert again[name] == accepted[name]
    assert {again["deliveryId"], again["taskId"]}.isdisjoint({accepted["deliveryId"], accepted["taskId"]})
    [message] = (await api.get(path)).json()["data"]
    assert (message["status"], message["errorCode"]) == ("PENDING", None)
    assert (await shown(api, accepted["deliveryId"]))["resendable"] is False
    assert [row["to_number"] for row in await sql("SELECT to_number FROM deliveries")] == [NUMBER, NUMBER]
    assert len(await sql("SELECT 1 FROM audit_logs WHERE action = 'delivery.resend'")) == 1


async def test_twenty_resends_at_once_are_one(api: Api, sql: Sql, end: End) -> None:
    accepted = await send(api)
    await end(accepted["deliveryId"])
    path = f"/api/v1/deliveries/{accepted['deliveryId']}/resend"
    answers = await asyncio.gather(*(api.post(path) for _ in range(20)))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 19}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"delivery_not_resendable"}
    assert len(await sql("SELECT 1 FROM deliveries")) == 2
    assert len(await sql("SELECT 1 FROM tasks WHERE kind = 'delivery.send'")) == 2


async def test_only_the_newest_failed_sending_can_be_sent_again(api: Api, sql: Sql, end: End) -> None:
    first = (await send(api))["deliveryId"]
    refused = ("PENDING", "SENDING", "SENT", "DELIVERED", "READ")
    for state in refused:
        await sql("UPDATE deliveries SET state = %s", state)
        assert_problem(await api.post(f"/api/v1/deliveries/{first}/resend"), 409, "delivery_not_resendable")
    await sql("UPDATE deliveries SET state = 'PENDING'")
    await end(first)
    second = (await api.post(f"/api/v1/deliveries/{first}/resend")).json()["deliveryId"]
    await end(second)
    assert_problem(await api.post(f"/api/v1/deliveries/{first}/resend"), 409, "delivery_not_resendable")
    # The first has been delivered after all.
    await sql("UPDATE deliveries SET state = 'DELIVERED' WHERE id = %s", first)
    assert_problem(await api.post(f"/api/v1/deliveries/{second}/resend"), 409, "delivery_not_resendable")
    assert len(await sql("SELECT 1 FROM deliveries")) == 2


async def test_a_code_is_never_sent_again(api: Api, sql: Sql) -> None:
    code = await make_code(sql)
    assert_problem(await api.post(f"/api/v1/deliveries/{code}/resend"), 409, "delivery_not_resendable")
    assert len(await sql("SELECT 1 FROM deliveries")) == 1


async def test_a_sending_whose_task_is_cancelled_has_failed_and_can_be_sent_again(api: Api, sql: Sql) -> None:
    accepted = await send(api)
    assert (await api.delete(f"/api/v1/tasks/{accepted['taskId']}")).status_code == 204
    told = await shown(api, accepted["deliveryId"])
    assert (told["status"], told["errorCode"], told["resendable"]) == ("FAILED", "cancelled", True)


async def test_one_that_may_have_been_sent_is_unknown_when_its_task_is_cancelled(api: Api, sql: Sql) -> None:
    accepted = await send(api)
    await sql("UPDATE deliveries SET state = 'SENDING'")
    await sql("UPDATE tasks SET intent_at = now() WHERE kind = 'delivery.send'")
    assert (await api.delete(f"/api/v1/tasks/{accepted['taskId']}")).status_code == 204
    told = await shown(api, accepted["deliveryId"])
    assert (told["status"], told["errorCode"]) == ("FAILED", "unknown")


async def test_a_sending_is_never_retried_as_a_task(api: Api, sql: Sql) -> None:
    accepted = await send(api)
    await sql("UPDATE tasks SET status = 'failed' WHERE kind = 'delivery.send'")
    answer = await api.post(f"/api/v1/tasks/{accepted['taskId']}/retry")
    assert_problem(answer, 409, "task_not_retryable")
    assert [row["status"] for row in await sql("SELECT status FROM tasks WHERE kind = 'delivery.send'")] == ["failed"]
