"""Callbacks through the whole system: asked for over HTTP, delivered by a worker, whatever breaks in between."""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks import Webhook
from system_testkit import SHORT_LEASE, Scene, SceneFactory
from vendors.webhook_receiver import Received, Reply, WebhookReceiver

from contactship_devstack.valkey import ValkeyServer

pytestmark = pytest.mark.system

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
SETTINGS = {
    "AI_PROVIDERS": "local",
    "CALLBACK_SIGNING_SECRET": SECRET,
    "OUTBOUND_ALLOW_CIDRS": "127.0.0.1/32",
    "OUTBOUND_RETRY_SCHEDULE": "0.2,0.4,0.8,1,1,1,1",
    "OUTBOUND_TIMEOUT": "1.5",
}
_numbers = itertools.count(1)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Answers 204 until a test says otherwise."""
    with WebhookReceiver() as server:
        yield server


def _meeting(scene: Scene) -> str:
    number = next(_numbers)
    client = scene.call("POST", "/clients", 201, json={"name": f"Cliente {number}", "email": f"c{number}@example.com"})
    seller = scene.call("POST", "/sellers", 201, json={"name": f"Toro {number}", "email": f"s{number}@example.com"})
    body = {
        "clientId": client["id"],
        "sellerId": seller["id"],
        "meetingAt": "2024-03-15T15:00:00Z",
        "transcript": "Somos una tienda de ropa; nos encontró por Instagram y queremos automatizar la atención por chat.",
    }
    return str(scene.call("POST", "/meetings", 201, json=body)["id"])


def _classify(scene: Scene, url: str, expected: int = 202) -> dict[str, Any]:
    """Ask for a classification and a callback."""
    path = f"/workers/classify/{_meeting(scene)}"
    answer: dict[str, Any] = scene.call("POST", path, expected, json={"callbackUrl": url})
    return answer


def _cancelled(scene: Scene, url: str) -> str:
    """A task that ends without any AI worker, and whose callback is therefore due; its id."""
    task_id = str(_classify(scene, url)["taskId"])
    scene.call("DELETE", f"/tasks/{task_id}", 204)
    return task_id


def _told(request: Received) -> dict[str, Any]:
    told: dict[str, Any] = Webhook(SECRET).verify(request.body, request.headers)
    return told


def _attempts(scene: Scene, task_id: str) -> list[tuple[int | None, str | None]]:
    rows = scene.sql(
        "SELECT a.status_code, a.error FROM outbound_attempts a JOIN outbound_deliveries d ON d.id = a.delivery_id"
        " WHERE d.task_id = %(id)s ORDER BY a.number",
        id=task_id,
    )
    return [(row["status_code"], row["error"]) for row in rows]


def _deliveries_end(scene: Scene, status: str, count: int = 1, seconds: float = 30.0) -> None:
    scene.until(
        lambda: scene.count("outbound_deliveries WHERE status = %(status)s", status=status) == count,
        f"{count} deliveries {status}",
        seconds=seconds,
    )


def test_a_classification_is_told_to_its_callback_once_and_signed(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", "delivery_worker", env=SETTINGS)
    asked = _classify(scene, receiver.url("/hook?token=1"))
    began = time.monotonic()
    [request] = receiver.wait_for(1, 20)
    print(f"told {time.monotonic() - began:.2f} s after it was asked for")
    told = _told(request)
    assert told["type"] == "meeting.classified"
    assert asked["meetingId"] in request.body.decode()
    assert request.path == "/hook?token=1"
    scene.until_quiet()
    assert len(receiver.received) == 1
    scene.assert_nothing_was_lost()


def test_a_receiver_with_troubles_hears_in_the_end_the_same_words(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    with WebhookReceiver() as inside:
        receiver.script(
            Reply(500), Reply(wait_seconds=30), Reply(302, {"Location": inside.url()}), Reply(429, {"Retry-After": "2"})
        )
        task_id = _cancelled(scene, receiver.url())
        requests = receiver.wait_for(5, 20)
        _deliveries_end(scene, "succeeded")
        assert inside.connections == 0
    assert [_told(request)["type"] for request in requests] == ["task.cancelled"] * 5
    assert len({request.body for request in requests}) == 1
    assert requests[4].at - requests[3].at >= 2
    assert _attempts(scene, task_id) == [
        (500, "refused"),
        (None, "timeout"),
        (302, "redirected"),
        (429, "refused"),
        (204, None),
    ]


def test_a_receiver_that_is_gone_or_never_well_is_given_up(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS | {"OUTBOUND_RETRY_SCHEDULE": "0.1,0.1"})
    receiver.script(Reply(410))
    gone = _cancelled(scene, receiver.url())
    _deliveries_end(scene, "failed")
    assert _attempts(scene, gone) == [(410, "gone")]
    receiver.always(Reply(500))
    never_well = _cancelled(scene, receiver.url())
    _deliveries_end(scene, "failed", 2)
    assert _attempts(scene, never_well) == [(500, "refused")] * 3
    scene.until_quiet()


def test_urls_that_lead_inside_are_refused_at_the_door(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", env=SETTINGS | {"OUTBOUND_ALLOW_CIDRS": ""})
    hosts = ["127.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "localhost", "2130706433"]
    for host in hosts:
        told = _classify(scene, receiver.url(host=host), 422)
        assert told["code"] == "url_not_allowed", host
    assert receiver.connections == 0
    assert scene.count("tasks") == scene.count("task_callbacks") == 0
    unsigned = make_scene("api", env=SETTINGS | {"CALLBACK_SIGNING_SECRET": ""})
    assert _classify(unsigned, receiver.url(), 422)["code"] == "callbacks_not_configured"


def test_a_callback_survives_the_death_of_its_worker(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS | SHORT_LEASE | {"OUTBOUND_TIMEOUT": "30"})
    receiver.script(Reply(wait_seconds=60))
    task_id = _cancelled(scene, receiver.url())
    receiver.wait_for(1)
    scene.stack.kill9("delivery_worker")
    killed = time.monotonic()
    scene.stack.restart("delivery_worker")
    first, second = receiver.wait_for(2, 20)
    print(f"delivered {time.monotonic() - killed:.1f} s after the kill, lease {SHORT_LEASE['TASK_LEASE']} s")
    _deliveries_end(scene, "succeeded")
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert _told(second)["data"]["taskId"] == task_id
    assert _attempts(scene, task_id) == [(None, "unknown"), (204, None)]
    scene.until_quiet()
    scene.assert_nothing_was_lost()


def test_a_stopped_worker_hands_its_callback_to_the_next_one(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    scene = make_scene(
        "api", "scheduler", "delivery_worker", env=SETTINGS | {"OUTBOUND_TIMEOUT": "30", "SHUTDOWN_GRACE": "0.5"}
    )
    receiver.script(Reply(wait_seconds=60))
    task_id = _cancelled(scene, receiver.url())
    receiver.wait_for(1)
    scene.stack.sigterm("delivery_worker")
    scene.stack.restart("delivery_worker")
    receiver.wait_for(2, 20)
    _deliveries_end(scene, "succeeded")
    assert _attempts(scene, task_id) == [(None, "unknown"), (204, None)]


def test_callbacks_survive_the_loss_of_redis(make_scene: SceneFactory, receiver: WebhookReceiver) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    valkey = scene.stack.valkey
    assert isinstance(valkey, ValkeyServer)
    scene.stack.freeze("delivery_worker")
    tasks = [_cancelled(scene, receiver.url(f"/{number}")) for number in range(20)]
    valkey.flush()
    scene.stack.thaw("delivery_worker")
    receiver.wait_for(20, 20)
    valkey.kill()
    tasks += [_cancelled(scene, receiver.url(f"/{number}")) for number in range(20, 30)]
    valkey.start()
    requests = receiver.wait_for(30, 30)
    _deliveries_end(scene, "succeeded", 30)
    assert {_told(request)["data"]["taskId"] for request in requests} == set(tasks)
    scene.until_quiet()
