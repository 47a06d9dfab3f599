"""What endpoints are told, compared with what the reference of webhooks says they are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from system_testkit import Scene, SceneFactory
from vendors.randomuser_server import RandomUserServer
from vendors.webhook_receiver import WebhookReceiver

from contactship_common.classification.categories import load_categories
from contactship_common.contact_center.otp_codes import code_of
from contactship_common.outbound.events import EVENT_TYPES
from contactship_common.settings.contact_center import DEVELOPMENT_OTP_SECRET

pytestmark = pytest.mark.system

TOKEN = "token-of-the-calls"
MANUAL = (Path(__file__).parent.parent / "docs/reference/webhooks.md").read_text()
EXAMPLES = {
    told["type"]: told["data"]
    for told in (json.loads(text) for text in re.findall(r"```json\n(.*?)```", MANUAL, re.DOTALL))
}
AS_BEFORE = {"…": "as in lead.created"}


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as server:
        yield server


def keys(value: Any) -> Any:
    """The names in a value, all the way down."""
    return {name: keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def example(event_type: str) -> Any:
    data = dict(EXAMPLES[event_type])
    if data.get("lead") == AS_BEFORE:
        data["lead"] = EXAMPLES["lead.created"]["lead"]
    return keys(data)


def meeting(scene: Scene) -> str:
    client = scene.call("POST", "/clients", 201, json={"name": "Ana", "email": "ana.cliente@example.com"})
    seller = scene.call("POST", "/sellers", 201, json={"name": "Toro", "email": "toro@example.com"})
    body = {
        "clientId": client["id"],
        "sellerId": seller["id"],
        "meetingAt": "2024-03-15T15:00:00Z",
        "transcript": "Somos una tienda de ropa; nos encontró por Instagram y queremos automatizar la atención.",
    }
    return str(scene.call("POST", "/meetings", 201, json=body)["id"])


def verify_a_code(scene: Scene) -> None:
    asked = {"phone": "+5491155551234", "purpose": "LOGIN_2FA", "correlationId": "login-1"}
    scene.call("POST", "/otp", 201, json=asked)
    [row] = scene.sql("SELECT nonce FROM otp_challenges")
    code = code_of(DEVELOPMENT_OTP_SECRET, bytes(row["nonce"]))
    scene.call("POST", "/otp/verify", 200, json={"correlationId": "login-1", "otp": code})


def test_every_event_has_its_example() -> None:
    assert {*EXAMPLES} | {"message.failed"} == {*EVENT_TYPES}
    assert "`message.failed`" in MANUAL


def test_events_say_what_the_manual_says_and_what_the_api_shows(
    make_scene: SceneFactory, receiver: WebhookReceiver
) -> None:
    with RandomUserServer() as vendor:
        env = {
            "AI_PROVIDERS": "local", "OUTBOUND_ALLOW_CIDRS": "127.0.0.1/32", "AI_DEBOUNCE_MS": "100",
            "RANDOMUSER_URL": f"{vendor.url}/api/?seed=x", "ELEVENLABS_WEBHOOK_TOKEN": TOKEN,
        }  # fmt: skip
        scene = make_scene("api", "scheduler", "ai_worker", "sync_worker", "delivery_worker", env=env)
        body = {"url": receiver.url(), "events": list(EVENT_TYPES)}
        endpoint = scene.call("POST", "/webhook-endpoints", 201, json=body)
        lead_id, _ = scene.make_lead(phone="+54 11 3456-7890", address={"city": "Rosario"})
        lead = scene.lead(lead_id)
        scene.call("PATCH", f"/leads/{lead_id}", 200, json={"status": "qualified", "phone": "+54 11 3456-7891"})
        scene.summarize(lead_id)
        meeting_id = meeting(scene)
        scene.call("POST", f"/workers/classify/{meeting_id}", 202)
        scene.call("POST", "/sync/trigger", 202)
        opened = scene.call("POST", "/conversations", 201, json={"leadId": lead_id, "channel": "web"})
        posted = {"senderType": "LEAD", "contentText": "Hola, quisiera una demostración"}
        scene.call("POST", f"/conversations/{opened['id']}/messages", 201, json=posted)
        scene.call("POST", "/whatsapp/send", 202, json={"to": "+54 11 3456-7891", "text": "Claro, ¿cuándo puede?"})
        spoken = {"event_id": "1", "call_id": "c", "status": "done", "from": "+541134567891", "duration": 12}
        scene.call("POST", "/webhooks/elevenlabs/call", 200, json=spoken, headers={"X-Webhook-Token": TOKEN})
        verify_a_code(scene)
        wanted = {*EVENT_TYPES} - {"message.failed"}
        scene.until(lambda: {json.loads(r.body)["type"] for r in receiver.received} >= wanted, "all events", seconds=60)
        scene.until_quiet()
    told = {}
    for request in receiver.received:
        event = Webhook(endpoint["secret"]).verify(request.body, request.headers)
        assert b"+00:00" not in request.body, "times end in Z"
        if event["data"].get("channel") == "SMS":
            continue  # the code that was verified has completed its interaction, too
        if event["type"] == "conversation.analyzed" and event["data"]["conversationId"] != opened["id"]:
            continue  # as is what was sent by WhatsApp
        assert event["type"] not in told, "once each"
        told[event["type"]] = event["data"]
    assert {*told} == wanted
    assert told["interaction.completed"]["durationSec"] == 12
    categories = {category.name for category in load_categories()}
    for event_type, data in told.items():
        found = keys(data)
        if event_type == "meeting.classified":
            assert categories <= found.keys()
            found = {name: inner for name, inner in found.items() if name not in categories}
        if event_type.startswith("lead."):
            found["lead"]["person"]["address"] = None
        assert found == example(event_type), event_type
    not_told = {"next_action", "summaryStatus", "summaryError"}
    assert told["lead.created"]["lead"] == {name: value for name, value in lead.items() if name not in not_told}
    assert told["lead.updated"]["changedFields"] == ["phone", "status"]
    assert told["lead.summarized"]["lead"]["summary"] == scene.lead(lead_id)["summary"]
    assert told["meeting.classified"] == scene.call("GET", f"/workers/classification/{meeting_id}", 200)
    job = scene.call("GET", f"/sync/jobs/{told['sync.completed']['jobId']}", 200)
    assert {name: job[name] for name in told["sync.completed"] if name != "jobId"} == {
        name: value for name, value in told["sync.completed"].items() if name != "jobId"
    }
    [message] = scene.call("GET", f"/conversations/{opened['id']}/messages", 200)["data"]
    assert told["message.received"]["message"] == message
