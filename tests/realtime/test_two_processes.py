"""The JavaScript client, two API processes, the workers: what people see while they work."""

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from realtime_testkit import Browser
from system_testkit import Scene, SceneFactory

from contactship_devstack.guard import Guard

pytestmark = pytest.mark.system

ADMIN = {"SUPER_ADMIN_EMAIL": "boss@example.com", "SUPER_ADMIN_PASSWORD": "correct horse battery"}
ENV = ADMIN | {
    "SOCKET_TYPING_SECONDS": "1",
    "SOCKET_SWEEP_SECONDS": "0.5",
    "AI_DEBOUNCE_MS": "300",
    "AI_PROVIDERS": "local",
    "LOGIN_LIMIT_PER_ADDRESS": "1000",
}


@dataclass(slots=True)
class Person:
    id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


class Office:
    """A scene with two API processes, and people who log in."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.urls = scene.stack.api_urls
        self.boss = self._log_in("boss@example.com", ADMIN["SUPER_ADMIN_PASSWORD"])
        self._people = 0

    def agent(self) -> Person:
        self._people += 1
        body = {
            "email": f"agent-{time.time_ns()}@example.com", "password": "correct horse battery", "name": "Agent",
            "role": "SALES_AGENT",
        }  # fmt: skip
        self.scene.call("POST", "/users", 201, json=body)
        return self._log_in(str(body["email"]), str(body["password"]))

    def _log_in(self, email: str, password: str) -> Person:
        told = self.scene.call("POST", "/auth/login", 200, json={"email": email, "password": password})
        token = str(told["access_token"])
        me = httpx.get(f"{self.urls[0]}/api/v1/auth/me", headers={"authorization": f"Bearer {token}"}).json()
        return Person(str(me["id"]), token)

    def conversation(self, agent: Person | None) -> str:
        lead_id, _ = self.scene.make_lead()
        found = self.scene.call("POST", "/conversations", 201, json={"leadId": lead_id, "channel": "web"})
        if agent:
            self.assign(str(found["id"]), agent)
        return str(found["id"])

    def assign(self, conversation_id: str, agent: Person | None) -> None:
        body = {"agentId": agent.id if agent else None}
        self.scene.call("POST", f"/conversations/{conversation_id}/assign", 200, json=body)

    def post(self, conversation_id: str, text: str, *, by: Person | None = None, process: int = 0) -> dict[str, Any]:
        """A message through one of the processes."""
        url = f"{self.urls[process]}/api/v1/conversations/{conversation_id}/messages"
        headers = by.headers if by else {"x-api-key": self.scene.stack.api_key}
        answer = self.scene.http.post(url, json={"contentText": text}, headers=headers)
        assert answer.status_code == 201, answer.text
        message: dict[str, Any] = answer.json()
        return message


@pytest.fixture
def browser(process_guard: Guard) -> Iterator[Browser]:
    with Browser(process_guard) as browser:
        yield browser


@pytest.fixture(scope="module")
def office(shared_scene: Scene) -> Office:
    shared_scene.stack.start("api")
    return Office(shared_scene)


def test_a_message_posted_through_one_process_is_on_every_right_screen_at_once(
    office: Office, browser: Browser
) -> None:
    agent, stranger = office.agent(), office.agent()
    mine = office.conversation(agent)
    browser.connect("agent", office.urls[0], agent.token)
    browser.connect("agent's second tab", office.urls[1], agent.token)
    browser.connect("boss", office.urls[1], office.boss.token)
    browser.connect("stranger", office.urls[1], stranger.token)
    delays = []
    for number in range(20):
        posted = time.time() * 1_000
        message = office.post(mine, f"Hola {number}", by=agent)
        for screen in ("agent", "agent's second tab", "boss"):
            line = browser.event(screen, "message:new", after=number)
            assert line["data"] == {"conversationId": mine, "message": message}
            if screen == "boss":
                delays.append(line["at"] - posted)
    print(f"from the request to the other process's screen: median {statistics.median(delays):.0f} ms")
    assert statistics.median(delays) < 100
    browser.event("boss", "conversation:ai:update")
    assert browser.events("stranger", "message:new") == browser.events("stranger", "conversation:ai:update") == []


def test_the_analysis_arrives_from_the_worker_process_on_both(office: Office, browser: Browser) -> None:
    agent = office.agent()
    mine = office.conversation(agent)
    browser.connect("agent", office.urls[0], agent.token)
    browser.connect("boss", office.urls[1], office.boss.token)
    office.post(mine, "Quiero contratar el plan anual, es urgente")
    for screen in ("agent", "boss"):
        told = browser.event(screen, "conversation:ai:update")["data"]
        assert told["conversationId"] == mine
        assert told["aiData"]["summary"]
        assert told["aiData"]["priority"] in {"HIGH", "MEDIUM", "LOW"}
    shown = office.scene.call("GET", f"/conversations/{mine}", 200)
    assert shown["aiSummary"] == told["aiData"]["summary"]


def test_typing_is_seen_across_processes_and_stops_by_itself(office: Office, browser: Browser) -> None:
    agent = office.agent()
    mine = office.conversation(agent)
    browser.connect("agent", office.urls[0], agent.token)
    browser.connect("boss", office.urls[1], office.boss.token)
    for screen in ("agent", "boss"):
        assert browser.call(screen, "conversation:join", mine) == {"ok": True}
    assert browser.call("agent", "typing:start", mine) == {"ok": True}
    assert browser.event("boss", "typing:start")["data"]["userId"] == agent.id
    browser.event("boss", "typing:stop")
    assert browser.events("agent", "typing:start") == []


def test_who_loses_the_conversation_stops_receiving_with_the_socket_still_open(
    office: Office, browser: Browser
) -> None:
    agent, other = office.agent(), office.agent()
    mine, still_mine = office.conversation(agent), office.conversation(agent)
    browser.connect("agent", office.urls[1], agent.token)
    browser.connect("boss", office.urls[1], office.boss.token)
    browser.call("agent", "conversation:join", mine)
    browser.call("boss", "conversation:join", mine)
    office.assign(mine, other)
    browser.event("agent", "conversation:assigned", after=0)
    office.post(mine, "ya no es tuya")
    browser.call("boss", "typing:start", mine)
    office.post(still_mine, "esta sí")
    browser.event("boss", "message:new", after=1)
    browser.event("agent", "message:new")
    assert [event["conversationId"] for event in browser.events("agent", "message:new")] == [still_mine]
    assert browser.events("agent", "typing:start") == []
    assert browser.seen("agent", "disconnect") == []


def test_refusals_are_a_connect_error_with_a_code(office: Office, browser: Browser) -> None:
    for name, token in (("nobody", None), ("key", office.scene.stack.api_key), ("forged", office.boss.token + "x")):
        browser.connect(name, office.urls[0], token, wait=False)
        told = browser.until(name, "connect_error")
        assert told["data"]["code"] == "unauthenticated"
        assert told["message"] == told["data"]["message"]
    browser.connect("browser without a token", office.urls[0], None, wait=False, transports=["polling"])
    assert browser.until("browser without a token", "connect_error")["data"]["code"] == "unauthenticated"


def test_a_deactivated_agent_is_disconnected_and_does_not_come_back(office: Office, browser: Browser) -> None:
    agent = office.agent()
    browser.connect("agent", office.urls[1], agent.token)
    office.scene.call("PATCH", f"/users/{agent.id}", 200, json={"active": False})
    assert browser.until("agent", "disconnect")["reason"] == "io server disconnect"
    assert browser.events("agent", "error")[0]["code"] == "access_changed"


def test_polling_and_the_change_to_websocket_work_on_one_process(office: Office, browser: Browser) -> None:
    agent = office.agent()
    mine = office.conversation(agent)
    browser.connect("polling", office.urls[0], agent.token, transports=["polling"])
    browser.connect("both", office.urls[0], agent.token, transports=["polling", "websocket"])
    for screen in ("polling", "both"):
        assert browser.call(screen, "conversation:join", mine) == {"ok": True}
    message = office.post(mine, "Hola")
    for screen in ("polling", "both"):
        assert browser.event(screen, "message:new")["data"]["message"] == message


def test_a_stopped_process_sends_its_clients_away_and_since_fills_the_gap(
    make_scene: SceneFactory, process_guard: Guard
) -> None:
    office = Office(make_scene("api", api=1, env=ENV))
    agent = office.agent()
    mine = office.conversation(agent)
    with Browser(process_guard) as browser:
        browser.connect("websocket", office.urls[1], agent.token)
        browser.connect("polling", office.urls[1], agent.token, transports=["polling"])
        office.post(mine, "uno")
        for screen in ("websocket", "polling"):
            browser.event(screen, "message:new")
        started = time.monotonic()
        assert office.scene.stack.sigterm("api-2") == 0
        took = time.monotonic() - started
        print(f"stopped in {took:.1f} s with open sockets and polls")
        assert took < 5
        for screen in ("websocket", "polling"):
            assert browser.until(screen, "disconnect")["reason"] in {"transport close", "transport error"}
        office.post(mine, "dos")
        office.post(mine, "tres")
        office.scene.stack.restart("api-2")
        for screen in ("websocket", "polling"):
            browser.until(screen, "connect", after=1)
        office.post(mine, "cuatro")
        for screen in ("websocket", "polling"):
            browser.event(screen, "message:new", after=1)
            heard = [event["message"]["seq"] for event in browser.events(screen, "message:new")]
            assert heard == [1, 4]
        url = f"{office.urls[1]}/api/v1/conversations/{mine}/messages"
        missed = httpx.get(url, params={"since": 1}, headers=agent.headers).json()["data"]
        assert [message["seq"] for message in missed] == [2, 3, 4]
    logs = office.scene.stack.logs("api-2")
    assert "Traceback" not in logs
    assert all(word not in logs for word in (agent.token, json.dumps(agent.token), "@example.com"))


def test_a_frozen_client_does_not_hold_up_the_stop(make_scene: SceneFactory, process_guard: Guard) -> None:
    office = Office(make_scene("api", env=ENV))
    agent = office.agent()
    mine = office.conversation(agent)
    with Browser(process_guard) as browser:
        browser.connect("frozen", office.urls[0], agent.token)
        browser.freeze()
        for _ in range(60):
            office.post(mine, "x" * 10_000, by=agent)
        started = time.monotonic()
        assert office.scene.stack.sigterm("api") == 0
        assert time.monotonic() - started < 8
        browser.thaw()
    assert "Traceback" not in office.scene.stack.logs("api")
