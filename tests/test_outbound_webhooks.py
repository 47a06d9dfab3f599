"""Outbound webhooks through the whole system: subscribed to over HTTP, delivered by a worker, whatever breaks."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from system_testkit import SHORT_LEASE, Scene, SceneFactory
from vendors.webhook_receiver import Received, Reply, WebhookReceiver

from contactship_devstack.valkey import ValkeyServer

pytestmark = pytest.mark.system

SETTINGS = {
    "AI_PROVIDERS": "local",
    "OUTBOUND_ALLOW_CIDRS": "127.0.0.1/32",
    "OUTBOUND_RETRY_SCHEDULE": "0.2,0.4,0.8,1,1,1,1",
    "OUTBOUND_TIMEOUT": "1.5",
}


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Answers 204 until a test says otherwise."""
    with WebhookReceiver() as server:
        yield server


def _subscribe(scene: Scene, url: str, *events: str) -> dict[str, Any]:
    body = {"url": url, "events": list(events) or ["lead.created"]}
    made: dict[str, Any] = scene.call("POST", "/webhook-endpoints", 201, json=body)
    return made


def _told(request: Received, secret: str) -> dict[str, Any]:
    told: dict[str, Any] = Webhook(secret).verify(request.body, request.headers)
    return told


def _verifies(request: Received, secret: str) -> bool:
    try:
        _told(request, secret)
    except WebhookVerificationError:
        return False
    return True


def _deliveries(scene: Scene, endpoint: dict[str, Any], **query: str) -> list[dict[str, Any]]:
    path = f"/webhook-endpoints/{endpoint['id']}/deliveries"
    found: list[dict[str, Any]] = scene.call("GET", path, 200, params=query)["data"]
    return found


def _status(scene: Scene, endpoint: dict[str, Any], *expected: str, seconds: float = 30.0) -> list[dict[str, Any]]:
    """Wait until the endpoint's deliveries, newest first, have these statuses."""
    scene.until(
        lambda: [row["status"] for row in _deliveries(scene, endpoint)] == list(expected),
        f"deliveries to be {expected}",
        seconds=seconds,
    )
    return _deliveries(scene, endpoint)


def _attempts(scene: Scene, endpoint: dict[str, Any], delivery: dict[str, Any]) -> list[tuple[int | None, str | None]]:
    path = f"/webhook-endpoints/{endpoint['id']}/deliveries/{delivery['id']}"
    log = scene.call("GET", path, 200)["attemptLog"]
    return [(attempt["statusCode"], attempt["error"]) for attempt in log]


def test_a_new_lead_is_told_once_and_signed(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    endpoint = _subscribe(scene, receiver.url("/hook?token=1"))
    began = time.monotonic()
    lead_id, _ = scene.make_lead(phone="+54 11 3456-7890")
    [request] = receiver.wait_for(1)
    print(f"told {time.monotonic() - began:.2f} s after the lead was asked for")
    told = _told(request, endpoint["secret"])
    assert (told["type"], told["data"]["leadId"]) == ("lead.created", lead_id)
    assert told["data"]["lead"]["person"]["phoneE164"] == "+541134567890"
    assert request.path == "/hook?token=1"
    [delivery] = _status(scene, endpoint, "succeeded")
    assert (delivery["messageId"], delivery["attempts"]) == (request.headers["webhook-id"], 1)
    scene.until_quiet()
    assert len(receiver.received) == 1


def test_a_receiver_with_troubles_hears_in_the_end_the_same_words(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    endpoint = _subscribe(scene, receiver.url())
    with WebhookReceiver() as inside:
        receiver.script(
            Reply(500), Reply(wait_seconds=30), Reply(302, {"Location": inside.url()}), Reply(429, {"Retry-After": "2"})
        )
        scene.make_lead()
        requests = receiver.wait_for(5, 20)
        [delivery] = _status(scene, endpoint, "succeeded")
        assert inside.connections == 0
    assert all(_verifies(request, endpoint["secret"]) for request in requests)
    assert len({(request.body, request.headers["webhook-id"]) for request in requests}) == 1
    assert requests[4].at - requests[3].at >= 2
    assert _attempts(scene, endpoint, delivery) == [
        (500, "refused"), (None, "timeout"), (302, "redirected"), (429, "refused"), (204, None),
    ]  # fmt: skip
    assert scene.call("GET", f"/webhook-endpoints/{endpoint['id']}", 200)["failingSince"] is None


def test_a_changed_secret_is_verified_beside_the_old_one_and_then_alone(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    endpoint = _subscribe(scene, receiver.url())
    path = f"/webhook-endpoints/{endpoint['id']}"
    new = scene.call("POST", f"{path}/rotate-secret", 200, json={"overlapHours": 1})["secret"]
    scene.call("POST", f"{path}/test", 202)
    [both] = receiver.wait_for(1)
    assert [_verifies(both, secret) for secret in (endpoint["secret"], new)] == [True, True]
    assert _told(both, new) == _told(both, endpoint["secret"])
    assert _told(both, new)["type"] == "ping"
    scene.sql("UPDATE webhook_endpoints SET previous_secret_until = now()")
    scene.call("POST", f"{path}/test", 202)
    [_, alone] = receiver.wait_for(2)
    assert [_verifies(alone, secret) for secret in (endpoint["secret"], new)] == [False, True]


def test_an_endpoint_that_is_gone_is_off_until_it_is_switched_on_and_can_then_catch_up(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    endpoint = _subscribe(scene, receiver.url())
    path = f"/webhook-endpoints/{endpoint['id']}"
    receiver.script(Reply(410))
    scene.make_lead()
    [delivery] = _status(scene, endpoint, "failed")
    shown = scene.call("GET", path, 200)
    assert (shown["active"], shown["disabledReason"]) == (False, "gone")
    scene.make_lead()
    redeliver = f"{path}/deliveries/{delivery['id']}/redeliver"
    assert scene.call("POST", redeliver, 409)["code"] == "webhook_endpoint_disabled"
    scene.call("PATCH", path, 200, json={"active": True})
    since = {"since": delivery["createdAt"]}
    assert scene.call("POST", f"{path}/redeliver-failed", 202, json=since) == {"queued": 1}
    first, second = receiver.wait_for(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    _status(scene, endpoint, "succeeded")
    task = scene.call("POST", redeliver, 202)["taskId"]
    assert scene.ended(task)["status"] == "completed"
    assert {request.headers["webhook-id"] for request in receiver.wait_for(3)} == {first.headers["webhook-id"]}
    scene.until_quiet()
    assert len(receiver.received) == 3


def test_addresses_inside_are_refused_at_the_door_and_names_that_lead_there_are_never_reached(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS | {"OUTBOUND_ALLOW_CIDRS": ""})
    for host in ("127.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433"):
        body = {"url": receiver.url(host=host), "events": ["lead.created"]}
        assert scene.call("POST", "/webhook-endpoints", 422, json=body)["code"] == "url_not_allowed", host
    # As if each had been stored when it still led elsewhere.
    endpoint = _subscribe(scene, "http://203.0.114.9/")
    for url in (receiver.url(), receiver.url(host="[::ffff:127.0.0.1]"), receiver.url(host="[::1]")):
        scene.sql("UPDATE webhook_endpoints SET url = %(url)s", url=url)
        scene.make_lead()
        delivery = _status(scene, endpoint, *["failed"] * (len(_deliveries(scene, endpoint))))[0]
        assert _attempts(scene, endpoint, delivery) == [(None, "url_not_allowed")]
    assert receiver.connections == 0


def test_a_delivery_survives_the_death_of_its_worker(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS | SHORT_LEASE | {"OUTBOUND_TIMEOUT": "30"})
    endpoint = _subscribe(scene, receiver.url())
    receiver.script(Reply(wait_seconds=60))
    scene.make_lead()
    receiver.wait_for(1)
    scene.stack.kill9("delivery_worker")
    scene.stack.restart("delivery_worker")
    first, second = receiver.wait_for(2, 20)
    [delivery] = _status(scene, endpoint, "succeeded")
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert _attempts(scene, endpoint, delivery) == [(None, "unknown"), (204, None)]
    scene.until_quiet()


def test_deliveries_survive_the_loss_of_redis(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    endpoint = _subscribe(scene, receiver.url())
    valkey = scene.stack.valkey
    assert isinstance(valkey, ValkeyServer)
    scene.stack.freeze("delivery_worker")
    leads = [scene.make_lead()[0] for _ in range(10)]
    valkey.flush()
    scene.stack.thaw("delivery_worker")
    receiver.wait_for(10, 20)
    valkey.kill()
    leads += [scene.make_lead()[0] for _ in range(5)]
    valkey.start()
    requests = receiver.wait_for(15, 30)
    assert {_told(request, endpoint["secret"])["data"]["leadId"] for request in requests} == set(leads)
    scene.until_quiet()


def test_slow_receivers_leave_room_for_the_others(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS | {"OUTBOUND_TIMEOUT": "20"})
    with WebhookReceiver() as slow:
        slow.always(Reply(wait_seconds=60))
        _subscribe(scene, slow.url(), "lead.created")
        for _ in range(80):
            scene.make_lead()
        slow.wait_for(8)
        quick = _subscribe(scene, receiver.url(), "lead.updated")
        began = time.monotonic()
        scene.call("POST", f"/webhook-endpoints/{quick['id']}/test", 202)
        receiver.wait_for(1, 5)
        print(f"delivered {time.monotonic() - began:.2f} s after it was asked for, beside 80 to a slow receiver")
        assert len(slow.received) == 8
