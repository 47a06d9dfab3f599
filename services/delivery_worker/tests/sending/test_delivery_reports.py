"""Reports about a sending, in every order in which they can come."""

import asyncio
import itertools
import json
from typing import Any
from uuid import UUID

import pytest
import redis.asyncio
from sending_testkit import Sendings, Sql

from contactship_common.contact_center import delivery_reports
from contactship_common.masking import mask_phone
from contactship_common.models import OtpStatus
from contactship_common.models.base import new_id
from contactship_common.realtime import CHANNEL
from contactship_common.uow import unit_of_work

NUMBER = "+5491155551234"
FINAL = {"delivered": "DELIVERED", "undelivered": "FAILED", "failed": "FAILED", "canceled": "FAILED"}
_FAILURES = ("undelivered", "failed", "canceled")


async def _apply(sendings: Sendings, delivery_id: UUID, *words: str) -> None:
    """These reports one after the other; a failure with a code."""
    for word in words:
        more = {"error_code": "30003", "error_message": f"Unreachable {NUMBER}"} if word in _FAILURES else {}
        await sendings.report(delivery_id, word, **more)


@pytest.mark.parametrize("end", [*FINAL, "read"])
async def test_every_order_of_reports_ends_the_same(sendings: Sendings, end: str) -> None:
    """All 24 orders of queued, sending, sent and the end; with `read` all 120 of five."""
    words = ["queued", "sending", "sent", *(["delivered", "read"] if end == "read" else [end])]
    expected = "READ" if end == "read" else FINAL[end]
    for order in itertools.permutations(words):
        delivery_id = await sendings.message()
        await _apply(sendings, delivery_id, *order)
        row, message = await sendings.row(delivery_id), await sendings.posted(delivery_id)
        assert (row["state"], message["status"]) == (expected, expected), order
        code, told = ("30003", f"Unreachable {mask_phone(NUMBER)}") if expected == "FAILED" else (None, None)
        for what in (row, message):
            assert (what["error_code"], what["error_message"]) == (code, told), order
        assert (row["failed_at"] is not None) is (expected == "FAILED"), order
        assert (row["delivered_at"] is not None) is (expected in ("DELIVERED", "READ")), order
        assert (row["read_at"] is not None) is (expected == "READ"), order


async def test_a_failure_that_was_read_after_all_was_read(sendings: Sendings) -> None:
    for order in itertools.permutations(("sent", "undelivered", "read")):
        delivery_id = await sendings.message()
        await _apply(sendings, delivery_id, *order)
        row, message = await sendings.row(delivery_id), await sendings.posted(delivery_id)
        assert (row["state"], row["error_code"], row["failed_at"]) == ("READ", None, None), order
        assert (message["status"], message["error_code"]) == ("READ", None), order


async def test_first_times_are_kept_and_repeated_reports_change_nothing(sendings: Sendings) -> None:
    delivery_id = await sendings.message()
    await _apply(sendings, delivery_id, "queued", "sent", "delivered", "read")
    before, message = await sendings.row(delivery_id), await sendings.posted(delivery_id)
    assert before["sent_at"] < before["delivered_at"] < before["read_at"]
    for word in delivery_reports.RANKS:
        assert not await sendings.report(delivery_id, word, error_code="1")
    assert await sendings.row(delivery_id) == before
    assert await sendings.posted(delivery_id) == message
    assert [message[name] for name in ("sent_at", "delivered_at", "read_at")] == [
        before[name] for name in ("sent_at", "delivered_at", "read_at")
    ]


async def test_words_that_nobody_knows_and_deliveries_that_are_not_there_change_nothing(sendings: Sendings) -> None:
    delivery_id = await sendings.message()
    before = await sendings.row(delivery_id)
    for word in ("", "SENT", "receiving", "partially_delivered", "x" * 1_000):
        assert not await sendings.report(delivery_id, word)
    assert await sendings.row(delivery_id) == before
    assert not await sendings.report(new_id(), "delivered")


async def test_reports_at_the_same_time_end_the_same(sendings: Sendings) -> None:
    for _ in range(5):
        delivery_id = await sendings.message()
        words = ("queued", "sending", "sent", "delivered", "read") * 2
        await asyncio.gather(*(sendings.report(delivery_id, word, provider_message_id="SM1") for word in words))
        assert (await sendings.posted(delivery_id))["status"] == "READ"


async def test_an_id_that_comes_with_an_old_report_is_kept(sendings: Sendings) -> None:
    delivery_id = await sendings.message()
    await sendings.report(delivery_id, "delivered")
    assert not await sendings.report(delivery_id, "sent", provider_message_id="SM7")
    assert (await sendings.row(delivery_id))["provider_message_id"] == "SM7"
    assert (await sendings.posted(delivery_id))["provider_message_id"] == "SM7"


async def _unknown_then_again(sendings: Sendings) -> tuple[UUID, UUID]:
    first = await sendings.message()
    async with unit_of_work(sendings.runtime) as uow:
        await delivery_reports.settle_unknown(uow, first)
    return first, await sendings.again(first)


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        (["2 sent", "1 delivered"], "DELIVERED"),
        (["2 delivered", "1 sent"], "DELIVERED"),
        (["2 undelivered", "1 delivered"], "DELIVERED"),
        (["2 undelivered", "1 sent"], "SENT"),
        (["2 read", "1 undelivered"], "READ"),
        (["2 sent", "1 undelivered"], "SENT"),
        (["2 sent", "1 sent", "2 undelivered"], "SENT"),
        (["2 undelivered", "1 failed"], "FAILED"),
        (["1 undelivered"], "PENDING"),
    ],
)
async def test_a_message_that_was_sent_twice_shows_the_better_end_in_any_order(
    sendings: Sendings, reports: list[str], expected: str
) -> None:
    for order in itertools.permutations(reports):
        first, second = await _unknown_then_again(sendings)
        for report in order:
            which, word = report.split()
            await _apply(sendings, first if which == "1" else second, word)
        message = await sendings.posted(first)
        assert message["status"] == expected, order
        assert (message["error_code"] is not None) is (expected == "FAILED"), order


async def test_a_message_that_was_sent_twice_at_once_told_both_times_at_once(sendings: Sendings) -> None:
    for _ in range(5):
        first, second = await _unknown_then_again(sendings)
        told = [(first, "delivered"), (second, "undelivered"), (first, "sent"), (second, "sent")]
        await asyncio.gather(*(sendings.report(delivery_id, word) for delivery_id, word in told))
        assert (await sendings.posted(first))["status"] == "DELIVERED"


@pytest.mark.parametrize("status", [OtpStatus.VERIFIED, OtpStatus.LOCKED, OtpStatus.EXPIRED])
async def test_no_report_touches_a_code_that_is_over(sendings: Sendings, sql: Sql, status: str) -> None:
    delivery_id = await sendings.code()
    await sendings.run(delivery_id)
    await sql("UPDATE otp_challenges SET status = %s", status)
    before = (await sendings.challenge(delivery_id))["status"]
    await _apply(sendings, delivery_id, "sent", "delivered", "undelivered", "read")
    assert (await sendings.challenge(delivery_id))["status"] == before == status


async def test_a_code_that_was_not_delivered_has_failed_and_its_interaction_too(sendings: Sendings) -> None:
    delivery_id = await sendings.code()
    await sendings.run(delivery_id)
    assert (await sendings.challenge(delivery_id))["status"] == "SENT"
    await _apply(sendings, delivery_id, "undelivered")
    code = await sendings.challenge(delivery_id)
    assert (code["status"], code["interaction"]) == ("FAILED", "FAILED")


async def test_a_code_whose_answer_was_lost_stays_good(sendings: Sendings) -> None:
    delivery_id = await sendings.code()
    async with unit_of_work(sendings.runtime) as uow:
        await delivery_reports.settle_unknown(uow, delivery_id)
    assert (await sendings.challenge(delivery_id))["status"] == "PENDING"
    await _apply(sendings, delivery_id, "delivered")
    assert (await sendings.challenge(delivery_id))["status"] == "SENT"


async def _subscribe(redis_url: str) -> Any:
    client = redis.asyncio.from_url(redis_url)
    listening = client.pubsub(ignore_subscribe_messages=False)
    await listening.subscribe(CHANNEL)
    await listening.get_message(timeout=5)
    return client, listening


async def _heard(listening: Any) -> list[dict[str, Any]]:
    found = []
    while (message := await listening.get_message(ignore_subscribe_messages=True, timeout=0.3)) is not None:
        told = json.loads(message["data"])
        if told.get("event") == "message:status":
            found.append(told)
    return found


async def test_each_change_that_a_person_can_see_is_an_event_and_no_other(
    sendings: Sendings, redis_url: str, sql: Sql
) -> None:
    client, listening = await _subscribe(redis_url)
    delivery_id = await sendings.message()
    await _apply(sendings, delivery_id, "queued", "sending", "sent", "sent", "delivered", "sent", "read", "delivered")
    events = await _heard(listening)
    message = await sendings.posted(delivery_id)
    assert [event["data"]["status"] for event in events] == ["SENT", "DELIVERED", "READ"]
    assert all(event["rooms"] == ["admins"] for event in events)
    assert events[-1]["data"] == {
        "conversationId": str(message["conversation_id"]),
        "messageId": str(message["id"]),
        "seq": 1,
        "status": "READ",
        "errorCode": None,
        "errorMessage": None,
    }
    first, second = await _unknown_then_again(sendings)
    await _apply(sendings, second, "undelivered")
    await _apply(sendings, first, "delivered")
    statuses = [event["data"]["status"] for event in await _heard(listening)]
    assert statuses == ["FAILED", "PENDING", "FAILED", "DELIVERED"]
    await listening.aclose()
    await client.aclose()


async def test_subscribers_hear_once_that_a_message_was_sent_and_when_it_fails(sendings: Sendings, sql: Sql) -> None:
    await sql(
        "INSERT INTO webhook_endpoints (id, url, events, secret, active) VALUES"
        " (gen_random_uuid(), 'https://example.com/hook', '[\"message.sent\", \"message.failed\"]', 'whsec_x', true)"
    )
    for words in (["queued", "sent", "delivered"], ["delivered", "sent"], ["failed", "read", "sent"]):
        await _apply(sendings, await sendings.message(), *words)
    rows = await sql("SELECT event_type, payload FROM outbound_deliveries ORDER BY id")
    assert [row["event_type"] for row in rows] == ["message.sent", "message.sent", "message.failed", "message.sent"]
    assert json.loads(rows[2]["payload"])["data"]["errorCode"] == "30003"
    assert not any("5491155551234" in row["payload"] or "Hola" in row["payload"] for row in rows)
