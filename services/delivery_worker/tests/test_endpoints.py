"""Deliveries to webhook endpoints: their own secrets and addresses, and when they are switched off."""

import asyncio
import base64
import secrets
from typing import Any
from uuid import UUID

import pytest
from delivery_testkit import Deliveries
from prometheus_client import REGISTRY
from standardwebhooks import Webhook, WebhookVerificationError
from vendors.webhook_receiver import Received, Reply, WebhookReceiver

from contactship_common.models.base import new_id
from contactship_common.outbound import events, redelivery
from contactship_common.uow import unit_of_work
from contactship_delivery_worker.lanes import Lanes
from contactship_devstack.testing import Sql


def a_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Endpoint:
    """An endpoint in the table, and deliveries to it."""

    def __init__(self, deliveries: Deliveries, endpoint_id: UUID, secret: str) -> None:
        self.deliveries = deliveries
        self.id = endpoint_id
        self.secret = secret

    @classmethod
    async def make(cls, deliveries: Deliveries, url: str) -> "Endpoint":
        made = cls(deliveries, new_id(), a_secret())
        await deliveries.sql(
            "INSERT INTO webhook_endpoints (id, url, events, secret, active) VALUES (%s, %s, '[\"lead.created\"]', %s, true)",
            made.id, url, made.secret,
        )  # fmt: skip
        return made

    async def publish(self) -> UUID:
        """An event happens; the id of the delivery."""
        async with unit_of_work(self.deliveries.runtime) as uow:
            await events.publish(uow, "lead.created", {"leadId": "1"})
        [row] = await self.deliveries.sql(
            "SELECT id FROM outbound_deliveries WHERE endpoint_id = %s ORDER BY id DESC LIMIT 1", self.id
        )
        delivery_id: UUID = row["id"]
        return delivery_id

    async def row(self) -> dict[str, Any]:
        [row] = await self.deliveries.sql("SELECT * FROM webhook_endpoints WHERE id = %s", self.id)
        return row

    async def change(self, assignments: str) -> None:
        await self.deliveries.sql(f"UPDATE webhook_endpoints SET {assignments} WHERE id = %s", self.id)


@pytest.fixture
async def endpoint(deliveries: Deliveries, receiver: WebhookReceiver) -> Endpoint:
    return await Endpoint.make(deliveries, receiver.url())


def verifies(secret: str, request: Received) -> bool:
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_an_event_is_signed_with_the_endpoints_own_secret(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    delivery_id = await endpoint.publish()
    assert (await deliveries.attempt(delivery_id))["status"] == "succeeded"
    [request] = receiver.received
    told = Webhook(endpoint.secret).verify(request.body, request.headers)
    assert (told["type"], told["data"]) == ("lead.created", {"leadId": "1"})
    assert not verifies(a_secret(), request)
    assert request.headers["webhook-id"] == f"msg_{delivery_id.hex}"


async def test_while_a_secret_is_changed_either_verifies_and_then_only_the_new_one(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    old, new = endpoint.secret, a_secret()
    await endpoint.change(f"previous_secret = secret, secret = '{new}', previous_secret_until = now() + interval '1 h'")
    await deliveries.attempt(await endpoint.publish())
    assert verifies(old, receiver.received[0])
    assert verifies(new, receiver.received[0])
    assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 2
    await endpoint.change("previous_secret_until = now()")
    await deliveries.attempt(await endpoint.publish())
    assert not verifies(old, receiver.received[1])
    assert verifies(new, receiver.received[1])


async def test_what_waits_goes_to_the_new_address(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    receiver.script(Reply(500))
    delivery_id = await endpoint.publish()
    await deliveries.attempt(delivery_id)
    with WebhookReceiver() as other:
        await endpoint.change(f"url = '{other.url('/moved')}'")
        assert (await deliveries.attempt(delivery_id))["status"] == "succeeded"
        assert [request.path for request in other.received] == ["/moved"]
        assert other.received[0].body == receiver.received[0].body
        assert (await deliveries.row(delivery_id))["url"] == other.url("/moved")
    assert len(receiver.received) == 1


@pytest.mark.parametrize("how", ["active = false", ""])
async def test_an_endpoint_that_is_off_or_deleted_hears_nothing_more(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql, how: str
) -> None:
    delivery_id = await endpoint.publish()
    await (endpoint.change(how) if how else sql("DELETE FROM webhook_endpoints"))
    task = await deliveries.attempt(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("cancelled", "skipped")
    row = await deliveries.row(delivery_id)
    assert row["status"] == "failed"
    assert row["finished_at"] is not None
    assert await deliveries.attempts(delivery_id) == []
    assert receiver.connections == 0


async def test_the_first_failure_after_a_success_is_remembered_until_the_next_success(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    receiver.script(Reply(500), Reply(500), Reply(204), Reply(500))
    first = await endpoint.publish()
    await deliveries.attempt(first)
    since = (await endpoint.row())["failing_since"]
    assert since is not None
    await deliveries.attempt(first)
    assert (await endpoint.row())["failing_since"] == since
    await deliveries.attempt(first)
    assert (await endpoint.row())["failing_since"] is None
    await deliveries.attempt(await endpoint.publish())
    assert (await endpoint.row())["failing_since"] > since


@pytest.mark.parametrize(("age", "active"), [("4 days 23 hours", True), ("5 days", False)])
async def test_five_days_of_failures_disable_an_endpoint_and_it_says_so(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql, age: str, active: bool
) -> None:
    receiver.always(Reply(500))
    waiting = [await endpoint.publish() for _ in range(3)]
    await endpoint.change(f"failing_since = now() - interval '{age}'")
    counted = REGISTRY.get_sample_value("contactship_webhook_endpoints_disabled_total", {"reason": "failing"}) or 0
    delivery_id = await endpoint.publish()
    task = await deliveries.attempt(delivery_id)
    row = await endpoint.row()
    audited = await sql("SELECT actor, data FROM audit_logs WHERE action = 'webhook_endpoint.disable'")
    states = [(await deliveries.row(each))["status"] for each in [*waiting, delivery_id]]
    if active:
        assert (row["active"], row["disabled_at"], row["disabled_reason"]) == (True, None, None)
        assert (task["status"], states, audited) == ("queued", ["pending"] * 4, [])
        return
    assert (row["active"], row["disabled_reason"]) == (False, "failing")
    assert row["disabled_at"] is not None
    assert audited == [{"actor": "system", "data": {"reason": "failing"}}]
    after = REGISTRY.get_sample_value("contactship_webhook_endpoints_disabled_total", {"reason": "failing"})
    assert after == counted + 1
    assert (task["status"], task["error"]["code"]) == ("failed", "refused")
    assert states == ["failed"] * 4
    assert {(await deliveries.task(each))["status"] for each in waiting} == {"cancelled"}
    assert len(receiver.received) == 1


async def test_an_endpoint_that_is_gone_is_disabled_at_once(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    receiver.script(Reply(410))
    waiting, delivery_id = await endpoint.publish(), await endpoint.publish()
    await deliveries.attempt(delivery_id)
    row = await endpoint.row()
    assert (row["active"], row["disabled_reason"]) == (False, "gone")
    assert (await deliveries.row(waiting))["status"] == "failed"
    assert await deliveries.attempts(waiting) == []


async def test_what_an_earlier_address_answers_is_not_held_against_the_new_one(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    receiver.script(Reply(410, wait_seconds=30))
    delivery_id = await endpoint.publish()
    running = asyncio.ensure_future(deliveries.attempt(delivery_id))
    await asyncio.to_thread(receiver.wait_for, 1)
    await endpoint.change("url = 'http://127.0.0.1:9/new'")
    receiver.stop()
    await running
    row = await endpoint.row()
    assert (row["active"], row["failing_since"], row["disabled_reason"]) == (True, None, None)


async def test_two_attempts_that_end_an_endpoint_at_once_take_turns(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    endpoint = await Endpoint.make(deliveries, receiver.url())
    receiver.always(Reply(410, wait_seconds=0.05))
    ids = [await endpoint.publish() for _ in range(12)]
    tasks = [(await deliveries.task(delivery_id))["id"] for delivery_id in ids]
    await asyncio.gather(*(deliveries.runner.run(task_id) for task_id in tasks))
    rows = await sql("SELECT status FROM outbound_deliveries")
    assert [row["status"] for row in rows] == ["failed"] * 12
    assert await sql("SELECT 1 FROM tasks WHERE status IN ('queued', 'running')") == []
    assert len(await sql("SELECT 1 FROM audit_logs WHERE action = 'webhook_endpoint.disable'")) == 1


async def test_a_delivery_that_is_sent_again_keeps_its_id_and_its_words(
    endpoint: Endpoint, deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    delivery_id = await endpoint.publish()
    await deliveries.attempt(delivery_id)
    async with unit_of_work(deliveries.runtime) as uow:
        ref = await redelivery.redeliver(uow, delivery_id)
    await deliveries.runner.run(ref.id)
    first, second = receiver.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert await deliveries.attempts(delivery_id) == [(1, 204, None), (2, 204, None)]
    assert (await deliveries.row(delivery_id))["status"] == "succeeded"


async def test_a_slow_receiver_keeps_no_more_than_its_lanes_and_others_go_on(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    deliveries.per_receiver = 3
    deliveries.use()
    receiver.always(Reply(204, wait_seconds=30))
    slow = await Endpoint.make(deliveries, receiver.url())
    tasks = [(await deliveries.task(await slow.publish()))["id"] for _ in range(8)]
    await sql("UPDATE webhook_endpoints SET events = '[]'")
    running = [asyncio.ensure_future(deliveries.runner.run(task_id)) for task_id in tasks]
    await asyncio.to_thread(receiver.wait_for, 3)
    await asyncio.gather(*await _first_done(running, 5))
    postponed = await sql("SELECT error->>'code' AS code, failures FROM tasks WHERE status = 'queued'")
    assert postponed == [{"code": "receiver_busy", "failures": 0}] * 5
    assert len(await sql("SELECT 1 FROM outbound_attempts")) == 3
    with WebhookReceiver() as quick:
        other = await Endpoint.make(deliveries, quick.url())
        assert (await deliveries.attempt(await other.publish()))["status"] == "succeeded"
    receiver.stop()
    await asyncio.gather(*running)


async def _first_done(running: list["asyncio.Future[None]"], count: int) -> list["asyncio.Future[None]"]:
    """Those that have ended, once so many have."""
    async with asyncio.timeout(10):
        while len(done := [each for each in running if each.done()]) < count:
            await asyncio.wait([each for each in running if not each.done()], return_when=asyncio.FIRST_COMPLETED)
    return done


def test_waits_for_a_lane_grow_with_what_waits_and_never_past_a_minute() -> None:
    now = 100.0
    lanes = Lanes(per_receiver=2, in_all=3, clock=lambda: now)
    tokens = [(new_id(), 1) for _ in range(300)]
    assert [lanes.take("a", token) for token in tokens[:2]] == [None, None]
    for token in tokens[:2]:
        lanes.begin("a", token)
        lanes.leave("a", token, 10.0)
    assert [lanes.take("a", token) for token in tokens[:2]] == [None, None]
    waits = [lanes.take("a", token) or 0.0 for token in tokens[2:]]
    assert 0.5 * 0.8 <= waits[0] < waits[9] * 1.5
    assert 48 <= max(waits) <= 72
    # The whole has a limit too.
    assert lanes.take("b", tokens[100]) is None
    assert lanes.take("b", tokens[101]) is not None
    # A lane that was taken and never used is free again after a while.
    now += 60
    assert lanes.take("a", tokens[5]) is None
