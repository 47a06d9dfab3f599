"""Webhooks through the whole system: one effect each, whatever dies or is lost between."""

import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import pytest
from system_testkit import Scene, SceneFactory

pytestmark = pytest.mark.system

TOKEN, SECRET = "builderbot-token-0123456789", "elevenlabs-secret-0123456789"
SETTINGS = {
    "AI_PROVIDERS": "local", "BUILDERBOT_WEBHOOK_TOKEN": TOKEN, "ELEVENLABS_WEBHOOK_SECRET": SECRET,
}  # fmt: skip


def _message(number: int) -> dict[str, Any]:
    data = {"id": f"m{number}", "from": "5491155550000", "body": f"Mensaje {number}", "name": "Ana"}
    return {"eventName": "message.incoming", "data": data}


def _whatsapp(scene: Scene, event: Any, *, timeout: float = 30) -> httpx.Response:
    url = f"{scene.stack.api_url}/webhooks/builderbot/whatsapp"
    return httpx.post(url, json=event, headers={"x-webhook-token": TOKEN}, timeout=timeout)


def _call(scene: Scene, event: dict[str, Any]) -> httpx.Response:
    body, now = json.dumps(event).encode(), str(int(time.time()))
    signature = hmac.new(SECRET.encode(), now.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"elevenlabs-signature": f"t={now},v0={signature}"}
    return httpx.post(f"{scene.stack.api_url}/webhooks/elevenlabs/call", content=body, headers=headers, timeout=30)


def _until_handled(scene: Scene, count: int) -> None:
    scene.until(
        lambda: scene.count("webhook_inbox WHERE handled_at IS NOT NULL") == count, f"{count} handled", seconds=40
    )


def test_a_message_and_a_call_appear_where_they_belong(make_scene: SceneFactory) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    assert _whatsapp(scene, [_message(1), _message(2)]).json() == {"success": True, "duplicate": False}
    phone = {"direction": "inbound", "agent_number": "+14155550100", "external_number": "+5491155550000"}
    data = {"conversation_id": "c", "status": "done", "transcript": "user: Hola", "metadata": {"phone_call": phone}}
    assert _call(scene, {"type": "post_call_transcription", "data": data}).status_code == 200
    _until_handled(scene, 3)
    [lead] = scene.call("GET", "/leads", 200)["data"]
    timeline = scene.call("GET", f"/leads/{lead['id']}/timeline", 200)["data"]
    assert sorted(item["type"] for item in timeline if item["type"] in ("call", "message")) == [
        "call", "message", "message",
    ]  # fmt: skip
    [call] = [item for item in timeline if item["type"] == "call"]
    assert call["data"]["transcript"] == "user: Hola"
    [conversation] = scene.call("GET", "/conversations", 200)["data"]
    told = scene.call("GET", f"/conversations/{conversation['id']}/messages", 200)["data"]
    assert sorted(message["contentText"] for message in told) == ["Mensaje 1", "Mensaje 2"]


def test_a_gateway_that_dies_before_it_answers_costs_nothing_and_doubles_nothing(make_scene: SceneFactory) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=SETTINGS)
    event = _message(1)
    # The provider gives up before its answer; what it sent is stored when the gateway wakes, which then dies.
    scene.stack.freeze("api")
    with pytest.raises(httpx.TransportError):
        _whatsapp(scene, event, timeout=0.3)
    scene.stack.thaw("api")
    scene.until(lambda: scene.count("webhook_inbox"), "the entry")
    scene.stack.kill9("api")
    scene.stack.restart("api")
    assert _whatsapp(scene, event).json() == {"success": True, "duplicate": True}
    _until_handled(scene, 1)
    assert scene.count("messages") == scene.count("interaction_events") == 1
    assert scene.count("webhook_inbox WHERE error IS NOT NULL") == 0
