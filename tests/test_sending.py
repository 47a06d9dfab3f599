"""Messages through the whole system, never twice: killed and stopped workers, lost answers."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from system_testkit import SHORT_LEASE, Scene, SceneFactory
from vendors.builderbot_server import BuilderBotServer
from vendors.messaging import Say
from vendors.twilio_server import TwilioServer

pytestmark = pytest.mark.system

WEBHOOK_TOKEN = "webhook-token-of-the-tests-0123456789"
SETTINGS = {"AI_PROVIDERS": "local", "DELIVERY_UNKNOWN_AFTER": "1.5", "AI_DEBOUNCE_MS": "0"}


@pytest.fixture
def twilio() -> Iterator[TwilioServer]:
    with TwilioServer() as server:
        yield server


@pytest.fixture
def builderbot() -> Iterator[BuilderBotServer]:
    with BuilderBotServer() as server:
        yield server


@pytest.fixture
def send_env(twilio: TwilioServer, builderbot: BuilderBotServer) -> dict[str, str]:
    return SETTINGS | twilio.settings | builderbot.settings


def _send(scene: Scene, text: str = "Hola", *, path: str = "sms", to: str = "+5491155551234") -> dict[str, Any]:
    accepted: dict[str, Any] = scene.call("POST", f"/{path}/send", 202, json={"to": to, "text": text})
    scene.accepted.append(accepted["taskId"])
    return accepted


def _shown(scene: Scene, accepted: dict[str, Any]) -> tuple[str, str | None]:
    told = scene.call("GET", f"/deliveries/{accepted['deliveryId']}", 200)
    return told["status"], told["errorCode"]


def _until(scene: Scene, accepted: dict[str, Any], status: str, code: str | None) -> None:
    scene.until(lambda: _shown(scene, accepted) == (status, code), f"the delivery to be {status} {code}")


def _until_sent(scene: Scene) -> None:
    """No sending is left; the analyses of these conversations are nobody's concern here."""
    scene.until(
        lambda: not scene.count("tasks WHERE queue = 'delivery' AND status IN ('queued', 'running')"), "the end"
    )


@pytest.mark.parametrize("path", ["sms", "whatsapp"])
def test_a_worker_that_is_killed_while_the_vendor_has_the_message_sends_it_once(
    make_scene: SceneFactory, send_env: dict[str, str], twilio: TwilioServer, builderbot: BuilderBotServer, path: str
) -> None:
    vendor = twilio if path == "sms" else builderbot
    vendor.script(Say(lose="hold"))
    scene = make_scene("api", "scheduler", "delivery_worker", env=SHORT_LEASE | send_env)
    accepted = _send(scene, path=path)
    vendor.wait_for(1)
    assert _shown(scene, accepted) == ("SENDING", None)
    scene.stack.kill9("delivery_worker")
    scene.stack.restart("delivery_worker")
    killed = time.monotonic()
    _until(scene, accepted, "SENDING", "unknown")
    _until(scene, accepted, "FAILED", "unknown")
    print(f"{path}: unknown {time.monotonic() - killed:.1f} s after the kill")
    _until_sent(scene)
    assert len(vendor.requests) == 1
    task = scene.task(accepted["taskId"])
    assert (task["status"], task["error"]["code"], task["run_no"]) == ("failed", "unknown", 2)
    # A person decides that it is sent again.
    again = scene.call("POST", f"/deliveries/{accepted['deliveryId']}/resend", 202)
    _until(scene, again, "SENT", None)
    assert len(vendor.messages) == 2


def _reachable(scene: Scene) -> None:
    """From now on the gateway knows the address that providers call, and workers that start do."""
    env = {"PUBLIC_BASE_URL": scene.stack.api_url, "BUILDERBOT_WEBHOOK_TOKEN": WEBHOOK_TOKEN}
    scene.stack.restart("api", env=env)
    scene.stack.start("delivery_worker", env=env)


def test_twilio_s_callback_settles_what_a_killed_worker_left_open(
    make_scene: SceneFactory, send_env: dict[str, str], twilio: TwilioServer
) -> None:
    twilio.script(Say(lose="hold"))
    scene = make_scene("api", "scheduler", env=SHORT_LEASE | send_env | {"DELIVERY_UNKNOWN_AFTER": "600"})
    _reachable(scene)
    accepted = _send(scene)
    [taken] = twilio.wait_for(1)
    scene.stack.kill9("delivery_worker")
    assert twilio.report(taken, "sent").status_code == 200
    scene.stack.restart("delivery_worker")
    _until(scene, accepted, "SENT", None)
    # The end comes before a word that was late, and twice.
    for status in ("delivered", "sent", "delivered", "queued"):
        assert twilio.report(taken, status).status_code == 200
    _until(scene, accepted, "DELIVERED", None)
    scene.until(lambda: scene.task(accepted["taskId"])["status"] == "failed", "the killed run's task to end")
    scene.until(lambda: not scene.count("webhook_inbox WHERE handled_at IS NULL"), "all reports to be handled")
    assert _shown(scene, accepted) == ("DELIVERED", None)
    assert scene.count("tasks WHERE kind = 'delivery.settle'") == 0
    assert len(twilio.requests) == 1


def test_builderbot_s_echo_settles_what_a_lost_answer_left_open(
    make_scene: SceneFactory, send_env: dict[str, str], builderbot: BuilderBotServer
) -> None:
    builderbot.script(Say(lose="reset"))
    scene = make_scene("api", "scheduler", env=send_env | {"DELIVERY_UNKNOWN_AFTER": "600"})
    _reachable(scene)
    accepted = _send(scene, "Hola, ¿mañana?", path="whatsapp")
    [taken] = builderbot.wait_for(1)
    _until(scene, accepted, "SENDING", "unknown")
    url = f"{scene.stack.api_url}/api/v1/webhooks/builderbot/whatsapp"
    for _ in range(2):
        assert builderbot.echo(taken, url, WEBHOOK_TOKEN).status_code == 200
    _until(scene, accepted, "SENT", None)
    scene.until(lambda: not scene.count("webhook_inbox WHERE handled_at IS NULL"), "the echoes to be handled")
    assert scene.count("messages") == 1
    assert len(builderbot.requests) == 1


def test_echoes_that_come_with_the_answers_wait_for_nobody(
    make_scene: SceneFactory, send_env: dict[str, str], builderbot: BuilderBotServer
) -> None:
    scene = make_scene("api", "scheduler", env=send_env)
    _reachable(scene)
    accepted = [_send(scene, f"n {number}", path="whatsapp") for number in range(20)]
    url = f"{scene.stack.api_url}/api/v1/webhooks/builderbot/whatsapp"
    for taken in builderbot.wait_for(20):
        assert builderbot.echo(taken, url, WEBHOOK_TOKEN).status_code == 200
    _until_sent(scene)
    assert {_shown(scene, one) for one in accepted} == {("SENT", None)}
    assert scene.count("messages") == 20
    assert "Deadlock" not in scene.stack.logs("delivery_worker")
    assert "record_delayed" not in scene.stack.logs("delivery_worker")


@pytest.mark.parametrize("lose", ["reset", "closed"])
def test_an_answer_that_is_lost_is_no_reason_to_send_again(
    make_scene: SceneFactory, send_env: dict[str, str], twilio: TwilioServer, lose: Any
) -> None:
    twilio.script(Say(lose=lose))
    scene = make_scene("api", "scheduler", "delivery_worker", env=send_env)
    accepted = _send(scene)
    _until(scene, accepted, "FAILED", "unknown")
    _until_sent(scene)
    assert len(twilio.requests) == 1


def test_a_stopped_worker_finishes_what_it_sends(
    make_scene: SceneFactory, send_env: dict[str, str], twilio: TwilioServer
) -> None:
    twilio.always(Say(wait_seconds=1.5))
    scene = make_scene("api", "scheduler", "delivery_worker", env=send_env)
    accepted = [_send(scene, f"n {number}") for number in range(10)]
    twilio.wait_for(10)
    assert scene.stack.sigterm("delivery_worker") == 0
    assert {_shown(scene, one) for one in accepted} == {("SENT", None)}
    assert len(twilio.messages) == 10


def test_a_stopped_worker_hands_back_what_takes_too_long_and_nobody_sends_it_again(
    make_scene: SceneFactory, send_env: dict[str, str], twilio: TwilioServer
) -> None:
    twilio.always(Say(lose="hold"))
    scene = make_scene("api", "scheduler", "delivery_worker", env=send_env | {"SHUTDOWN_GRACE": "0.5"})
    accepted = [_send(scene, f"n {number}") for number in range(5)]
    twilio.wait_for(5)
    assert scene.stack.sigterm("delivery_worker") == 0
    assert {scene.task(one["taskId"])["error"]["code"] for one in accepted} == {"handed_back"}
    twilio.always(Say())
    scene.stack.restart("delivery_worker")
    for one in accepted:
        _until(scene, one, "FAILED", "unknown")
    _until_sent(scene)
    assert len(twilio.requests) == 5


def test_a_busy_or_absent_vendor_gets_each_message_once_when_it_is_back(
    make_scene: SceneFactory, send_env: dict[str, str], twilio: TwilioServer
) -> None:
    twilio.script(*[Say(429, headers={"Retry-After": "1"})] * 6, *[Say(503, headers={"Retry-After": "1"})] * 6)
    scene = make_scene("api", "scheduler", "delivery_worker", env=send_env)
    accepted = [_send(scene, f"n {number}") for number in range(6)]
    _until_sent(scene)
    assert {_shown(scene, one) for one in accepted} == {("SENT", None)}
    assert Counter(message.text for message in twilio.messages) == {f"n {number}": 1 for number in range(6)}
    assert {scene.task(one["taskId"])["failures"] for one in accepted} == {0}


def test_without_credentials_the_worker_prints_what_it_would_send_and_logs_nothing_of_it(
    make_scene: SceneFactory,
) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS | {"LOG_LEVEL": "DEBUG"})
    accepted = [_send(scene, "Hola, soy Ana", path=path) for path in ("sms", "whatsapp")]
    for one in accepted:
        _until(scene, one, "DELIVERED", None)
    printed, logged = [], []
    for line in scene.stack.logs("delivery_worker").splitlines():
        (logged if line.startswith("{") else printed).append(line)
    wanted = {f"✉  {channel} to +5491155551234: Hola, soy Ana" for channel in ("SMS", "WHATSAPP")}
    assert wanted <= {*printed}
    assert logged
    assert not any("soy Ana" in line or "1155551234" in line for line in logged)
