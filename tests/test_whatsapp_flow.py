"""One customer on WhatsApp through every part: webhook, lead, conversation, screen, analysis, answer, vendor, echo."""

from collections.abc import Iterator

import httpx
import pytest
from realtime_testkit import Browser
from system_testkit import SceneFactory
from vendors.builderbot_server import BuilderBotServer

from contactship_devstack.guard import Guard

pytestmark = pytest.mark.system

TOKEN = "builderbot-token-0123456789"
BOSS = {"SUPER_ADMIN_EMAIL": "boss@example.com", "SUPER_ADMIN_PASSWORD": "correct horse battery"}
ENV = BOSS | {"AI_PROVIDERS": "local", "AI_DEBOUNCE_MS": "300", "BUILDERBOT_WEBHOOK_TOKEN": TOKEN}
PHONE = "5491155550000"


@pytest.fixture
def builderbot() -> Iterator[BuilderBotServer]:
    with BuilderBotServer() as server:
        yield server


@pytest.fixture
def browser(process_guard: Guard) -> Iterator[Browser]:
    with Browser(process_guard) as browser:
        yield browser


@pytest.mark.parametrize("together", [False, True], ids=["one message", "many at once"])
def test_a_customer_who_writes_on_whatsapp_is_seen_understood_and_answered(
    make_scene: SceneFactory, browser: Browser, builderbot: BuilderBotServer, together: bool
) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", "delivery_worker", env=ENV | builderbot.settings)
    login = {"email": BOSS["SUPER_ADMIN_EMAIL"], "password": BOSS["SUPER_ADMIN_PASSWORD"]}
    token = scene.call("POST", "/auth/login", 200, json=login)["access_token"]
    browser.connect("boss", scene.stack.api_url, token)
    webhook = f"{scene.stack.api_url}/webhooks/builderbot/whatsapp"

    texts = ["Hola", "Quiero contratar el plan anual", "Es urgente"] if together else ["Quiero contratar, es urgente"]
    events = [
        {"eventName": "message.incoming", "data": {"id": f"m{n}", "from": PHONE, "body": text, "name": "Ana García"}}
        for n, text in enumerate(texts)
    ]
    assert httpx.post(webhook, json=events, headers={"x-webhook-token": TOKEN}, timeout=30).status_code == 200

    shown = [browser.event("boss", "message:new", after=n)["data"] for n in range(len(texts))]
    assert sorted(each["message"]["contentText"] for each in shown) == sorted(texts)
    assert {each["message"]["senderType"] for each in shown} == {"LEAD"}
    [conversation] = {each["conversationId"] for each in shown}
    analysed = browser.event("boss", "conversation:ai:update")["data"]
    assert (analysed["conversationId"], bool(analysed["aiData"]["summary"])) == (conversation, True)

    told = scene.call("GET", f"/conversations/{conversation}", 200)
    assert (told["channel"], told["unreplied"], told["messageCount"]) == ("whatsapp", True, len(texts))
    lead = scene.lead(told["leadId"])
    assert (lead["source"], lead["person"]["firstName"]) == ("webhook", "Ana García")

    body = {"contentText": "Con gusto, Ana. Le llamo hoy."}
    headers = {"authorization": f"Bearer {token}"}
    answered = httpx.post(
        f"{scene.stack.api_url}/api/v1/conversations/{conversation}/messages", json=body, headers=headers, timeout=30
    )
    assert answered.status_code == 201, answered.text
    [sent] = builderbot.wait_for(1)
    assert (sent.to, sent.text) == (PHONE, body["contentText"])
    assert builderbot.echo(sent, webhook, TOKEN).status_code == 200
    scene.until(lambda: scene.count("webhook_inbox WHERE handled_at IS NULL") == 0, "the echo to be handled")
    messages = scene.call("GET", f"/conversations/{conversation}/messages?since=0", 200)["data"]
    assert [message["contentText"] for message in messages][-1] == body["contentText"]
    assert len(messages) == len(texts) + 1, "the echo of our own answer is no message"
    assert scene.call("GET", f"/conversations/{conversation}", 200)["unreplied"] is False
    timeline = scene.call("GET", f"/leads/{told['leadId']}/timeline", 200)["data"]
    assert sum(item["type"] == "message" for item in timeline) == len(texts) + 1
