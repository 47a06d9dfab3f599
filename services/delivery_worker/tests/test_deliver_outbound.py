"""A delivery from its publication to its end, attempt by attempt, against a real receiver."""

import asyncio

import pytest
from delivery_testkit import SECRET, Deliveries
from standardwebhooks import Webhook
from vendors.webhook_receiver import Reply, WebhookReceiver

from contactship_common.outbound import deliveries as outbound
from contactship_common.outbound.client import OutboundClient
from contactship_common.runtime import Runtime
from contactship_common.settings import DeliverySettings
from contactship_common.tasks.dispatcher import Dispatcher
from contactship_common.uow import unit_of_work
from contactship_devstack.testing import Sql

SCHEDULE = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)


async def test_a_message_is_delivered_and_verifies_with_the_reference_library(
    deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    data = {"meetingId": "7", "resumen": "mañana llamamos ñ 🙂"}
    delivery_id = await deliveries.publish(receiver.url("/hook?token=abc"), data)
    task = await deliveries.attempt(delivery_id)
    assert (task["status"], task["result"]) == ("succeeded", {"statusCode": 204, "attempts": 1})
    [request] = receiver.received
    told = Webhook(SECRET).verify(request.body, request.headers)
    assert (told["type"], told["data"]) == ("meeting.classified", data)
    assert request.headers["webhook-id"] == f"msg_{delivery_id.hex}"
    row = await deliveries.row(delivery_id)
    assert row["status"] == "succeeded"
    assert row["finished_at"] is not None
    assert row["payload"].encode() == request.body
    assert await deliveries.attempts(delivery_id) == [(1, 204, None)]


async def test_every_attempt_sends_the_same_bytes_under_the_same_id_with_a_signature_of_its_own(
    deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    receiver.script(Reply(500), Reply(503), Reply(cut=True))
    delivery_id = await deliveries.publish(receiver.url())
    for _ in range(3):
        assert (await deliveries.attempt(delivery_id))["status"] == "queued"
    assert (await deliveries.attempt(delivery_id))["status"] == "succeeded"
    assert len({request.body for request in receiver.received}) == 1
    assert {request.headers["webhook-id"] for request in receiver.received} == {f"msg_{delivery_id.hex}"}
    for request in receiver.received:
        Webhook(SECRET).verify(request.body, request.headers)
    assert await deliveries.attempts(delivery_id) == [
        (1, 500, "refused"),
        (2, 503, "refused"),
        (3, None, "connection_lost"),
        (4, 204, None),
    ]


async def test_failed_attempts_wait_by_the_schedule_and_the_last_one_ends_the_delivery(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    assert DeliverySettings().retry_waits == SCHEDULE
    receiver.always(Reply(500))
    delivery_id = await deliveries.publish(receiver.url())
    for wait in SCHEDULE:
        # As if the wait had really passed: the task has been under way for longer than any other may be.
        await sql("UPDATE tasks SET started_at = started_at - make_interval(secs => %s)", wait * 1.2)
        task = await deliveries.attempt(delivery_id)
        assert (task["status"], task["failures"], task["error"]["code"]) == ("queued", 0, "refused")
        assert wait * 0.8 <= task["waits"] <= wait * 1.2 + 2
        assert (await deliveries.row(delivery_id))["status"] == "pending"
    task = await deliveries.attempt(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("failed", "refused")
    row = await deliveries.row(delivery_id)
    assert row["status"] == "failed"
    assert row["finished_at"] is not None
    assert len(receiver.received) == 8
    assert await deliveries.attempts(delivery_id) == [(n, 500, "refused") for n in range(1, 9)]


async def test_the_waits_are_spread(deliveries: Deliveries, receiver: WebhookReceiver) -> None:
    receiver.always(Reply(500))
    deliveries.use(outbound_retry_schedule="1000")
    tasks = [await deliveries.attempt(await deliveries.publish(receiver.url())) for _ in range(8)]
    assert max(task["waits"] for task in tasks) - min(task["waits"] for task in tasks) > 10


@pytest.mark.parametrize(("text", "least", "most"), [("90", 90, 92), ("1", 4, 8), ("999999999", 86_400, 86_402)])
async def test_a_longer_retry_after_is_honoured_up_to_a_day(
    deliveries: Deliveries, receiver: WebhookReceiver, text: str, least: float, most: float
) -> None:
    receiver.script(Reply(429, {"Retry-After": text}))
    task = await deliveries.attempt(await deliveries.publish(receiver.url()))
    assert least <= task["waits"] <= most


async def test_a_receiver_that_is_gone_is_not_asked_again(deliveries: Deliveries, receiver: WebhookReceiver) -> None:
    receiver.always(Reply(410))
    delivery_id = await deliveries.publish(receiver.url())
    task = await deliveries.attempt(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("failed", "gone")
    assert (await deliveries.row(delivery_id))["status"] == "failed"
    assert await deliveries.attempts(delivery_id) == [(1, 410, "gone")]


async def test_a_redirect_is_tried_again_and_never_followed(deliveries: Deliveries, receiver: WebhookReceiver) -> None:
    with WebhookReceiver() as elsewhere:
        receiver.script(Reply(302, {"Location": elsewhere.url()}))
        delivery_id = await deliveries.publish(receiver.url())
        assert (await deliveries.attempt(delivery_id))["error"]["code"] == "redirected"
        assert elsewhere.connections == 0
        assert (await deliveries.attempt(delivery_id))["status"] == "succeeded"


async def test_a_private_address_in_the_url_ends_the_delivery_at_once(
    deliveries: Deliveries, receiver: WebhookReceiver
) -> None:
    for url in (f"http://127.0.0.2:{receiver.port}/", f"http://[::ffff:127.0.0.2]:{receiver.port}/", "http://[::1]/"):
        delivery_id = await deliveries.publish(url)
        task = await deliveries.attempt(delivery_id)
        assert (task["status"], task["error"]["code"]) == ("failed", "url_not_allowed")
        assert (await deliveries.row(delivery_id))["status"] == "failed"
        assert await deliveries.attempts(delivery_id) == [(1, None, "url_not_allowed")]
    assert receiver.connections == 0


async def test_a_name_that_leads_inside_is_tried_again_because_names_change(
    runtime: Runtime, sql: Sql, receiver: WebhookReceiver
) -> None:
    strict = OutboundClient()
    deliveries = Deliveries(runtime, strict, sql)
    delivery_id = await deliveries.publish(f"http://localhost:{receiver.port}/")
    task = await deliveries.attempt(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("queued", "address_not_allowed")
    assert receiver.connections == 0
    await strict.aclose()


async def test_an_attempt_is_on_record_before_it_is_made(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    receiver.script(Reply(204, wait_seconds=30))
    delivery_id = await deliveries.publish(receiver.url())
    running = asyncio.ensure_future(deliveries.attempt(delivery_id))
    await asyncio.to_thread(receiver.wait_for, 1)
    assert await deliveries.attempts(delivery_id) == [(1, None, None)]
    # The worker falls silent: its lease runs out, and another one finds the delivery.
    await sql("UPDATE tasks SET lease_until = now() - interval '1 second'")
    await Dispatcher(deliveries.runtime).tick()
    other = deliveries.make_runner("worker-2")
    task = await deliveries.task(delivery_id)
    await sql("UPDATE tasks SET run_at = now()")
    await other.run(task["id"])
    assert await deliveries.attempts(delivery_id) == [(1, None, "unknown"), (2, 204, None)]
    assert (await deliveries.row(delivery_id))["status"] == "succeeded"
    # What the first one has to say comes too late.
    receiver.stop()
    await running
    assert (await deliveries.row(delivery_id))["status"] == "succeeded"
    assert await deliveries.attempts(delivery_id) == [(1, None, "unknown"), (2, 204, None)]


async def test_attempts_of_dead_workers_do_not_use_up_the_schedule(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    deliveries.use(outbound_retry_schedule="5,300")
    receiver.always(Reply(500))
    delivery_id = await deliveries.publish(receiver.url())
    await sql(
        "INSERT INTO outbound_attempts (delivery_id, number) SELECT %s, n FROM generate_series(1, 3) n", delivery_id
    )
    task = await deliveries.attempt(delivery_id)
    assert 4 <= task["waits"] <= 8
    assert [error for _, _, error in await deliveries.attempts(delivery_id)] == ["unknown"] * 3 + ["refused"]


async def test_workers_lost_again_and_again_end_the_delivery(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    delivery_id = await deliveries.publish(receiver.url())
    await sql("INSERT INTO outbound_attempts (delivery_id, number) VALUES (%s, 1)", delivery_id)
    await sql("UPDATE tasks SET failures = max_attempts")
    task = await deliveries.attempt(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("failed", "attempts_used_up")
    assert (await deliveries.row(delivery_id))["status"] == "failed"
    assert await deliveries.attempts(delivery_id) == [(1, None, "unknown")]
    assert receiver.received == []


async def test_a_failed_delivery_that_is_retried_gets_one_more_attempt(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    deliveries.use(outbound_retry_schedule="5")
    receiver.script(Reply(500), Reply(500), Reply(500))
    delivery_id = await deliveries.publish(receiver.url())
    retry = "UPDATE tasks SET status = 'queued', run_at = now(), finished_at = NULL"
    assert (await deliveries.attempt(delivery_id))["status"] == "queued"
    assert (await deliveries.attempt(delivery_id))["status"] == "failed"
    await sql(retry)
    assert (await deliveries.attempt(delivery_id))["status"] == "failed"
    assert (await deliveries.row(delivery_id))["status"] == "failed"
    await sql(retry)
    assert (await deliveries.attempt(delivery_id))["status"] == "succeeded"
    assert (await deliveries.row(delivery_id))["status"] == "succeeded"


async def test_what_was_delivered_or_deleted_is_not_sent_again(
    deliveries: Deliveries, receiver: WebhookReceiver, sql: Sql
) -> None:
    done = await deliveries.publish(receiver.url())
    await deliveries.attempt(done)
    await sql("UPDATE tasks SET status = 'queued', run_at = now(), finished_at = NULL")
    assert (await deliveries.attempt(done))["status"] == "succeeded"
    gone = await deliveries.publish(receiver.url())
    await sql("DELETE FROM outbound_deliveries WHERE id = %s", gone)
    assert (await deliveries.attempt(gone))["status"] == "cancelled"
    assert len(receiver.received) == 1


async def test_messages_that_were_not_committed_are_never_sent(deliveries: Deliveries, sql: Sql) -> None:
    async def fail() -> None:
        async with unit_of_work(deliveries.runtime) as uow:
            outbound.publish(uow, url="http://127.0.0.1:9/", event_type="x", body="{}")
            await uow.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await sql("SELECT id FROM tasks UNION ALL SELECT id FROM outbound_deliveries") == []


async def test_logs_name_the_host_and_neither_path_nor_body(
    deliveries: Deliveries, receiver: WebhookReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.script(Reply(500))
    delivery_id = await deliveries.publish(receiver.url("/secret-path?token=secret-token"), {"phone": "secret-data"})
    await deliveries.attempt(delivery_id)
    await deliveries.attempt(delivery_id)
    logged = "".join(capsys.readouterr())
    assert "outbound.attempt_failed" in logged
    assert "outbound.delivered" in logged
    assert "secret" not in logged
    assert str(delivery_id) in logged
