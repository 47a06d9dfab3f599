"""The mixed load: what each kind of client does, and what it was promised.

A client is a generator; each `yield` ends a step. All of them ask on through a fault, as proper clients do: a
connection that broke or a 503 is asked again with the same Idempotency-Key until there is an answer, and only an
answer is a promise. Some things are asked twice on purpose.
"""

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx
from system_testkit import Scene
from vendors.twilio_server import TwilioServer

WEBHOOK_TOKEN = "chaos-webhook-token-0123456789"
SOURCES = ("crm", "randomuser")

_TIMEOUT_SECONDS = 15.0
_AGAIN_SECONDS = 0.1
_GIVES_UP_SECONDS = 30.0  # after the load has ended: a client that is still refused was promised nothing
_WEBHOOK_PHONES = 7
_numbers = itertools.count(1)


@dataclass
class Told:
    """What clients heard. `statuses` counts answers, None the connections that broke; `wrong` are answers that no
    client should ever get, whatever happens; `promised` holds (kind, id, key)."""

    statuses: Counter[int | None] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    promised: list[tuple[str, str | None, str]] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    def promise(self, kind: str, id_: str | None = None, key: str = "") -> None:
        self.promised.append((kind, id_, key))


class Door:
    """One client's way to the API."""

    def __init__(self, api_url: str, api_key: str, told: Told, stop: threading.Event, name: str) -> None:
        self.told = told
        self.stop = stop
        self.name = name
        url = f"{api_url}/api/v1"
        self._http = httpx.Client(base_url=url, headers={"x-api-key": api_key}, timeout=_TIMEOUT_SECONDS)
        self._ended_at: float | None = None

    def close(self) -> None:
        self._http.close()

    def post(
        self,
        path: str,
        body: dict[str, Any] | list[Any] | None = None,
        *,
        wanted: Sequence[int] = (201,),
        keyed: bool = True,
        twice: bool = False,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """The JSON of the answer; None if it never came. `twice`: ask again afterwards, and expect the same answer."""
        sent = dict(headers or {})
        if keyed:
            sent["idempotency-key"] = str(uuid4())
        answer = self._until_answered("POST", path, wanted, json=body, headers=sent)
        if answer is None:
            return None
        if twice:
            again = self._until_answered("POST", path, wanted, json=body, headers=sent)
            if again is not None and keyed and again.content != answer.content:
                self.told.wrong.append(f"POST {path}: another answer to the same request")
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self._until_answered("GET", path, (200,))
        return None if answer is None else answer.json()

    def _until_answered(self, method: str, path: str, wanted: Sequence[int], **options: Any) -> httpx.Response | None:
        while True:
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError:
                self.told.statuses[None] += 1
            else:
                self.told.statuses[answer.status_code] += 1
                if answer.status_code in wanted:
                    return answer
                code = _code(answer)
                if answer.status_code != 503 and code != "idempotency_in_progress":
                    self.told.wrong.append(f"{method} {path}: {answer.status_code} {code}")
                    return None
            if self._gives_up():
                return None
            time.sleep(_AGAIN_SECONDS)

    def _gives_up(self) -> bool:
        if not self.stop.is_set():
            return False
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        return now > self._ended_at + _GIVES_UP_SECONDS


def _code(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["code"])
    except (ValueError, LookupError, TypeError):
        return "?"


@dataclass(frozen=True)
class Known:
    """What clients know beforehand: leads that have a summary, and the phones' vendor, where codes arrive."""

    leads: Sequence[str]
    twilio: TwilioServer


Client = Callable[[Door, Known], Iterator[None]]


def makes_leads(door: Door, known: Known) -> Iterator[None]:
    """A lead, then its summary; now and then another summary for a lead that has one."""
    for n in itertools.count():
        name = f"lead-{door.name}x{n}"
        body = {"firstName": name, "lastName": "Prueba", "email": f"{name}@example.com"}
        lead = door.post("/leads", body, twice=n % 4 == 0)
        if lead:
            door.told.promise("lead", lead["id"], body["email"])
            accepted = door.post(f"/leads/{lead['id']}/summarize", wanted=(200, 202), twice=n % 5 == 0)
            if accepted:
                door.told.promise("summary", lead["id"])
                door.told.promise("task", accepted["taskId"])
        if n % 5 == 4:
            again = door.post(f"/leads/{known.leads[n % len(known.leads)]}/summarize?force=true", wanted=(202,))
            if again:
                door.told.promise("task", again["taskId"])
        yield


def writes_messages(door: Door, known: Known) -> Iterator[None]:
    """What a customer writes in a web chat; a new conversation every 25 messages."""
    conversation: str | None = None
    for n in itertools.count():
        if n % 25 == 0 or conversation is None:
            name = f"marker-{door.name}x{n}"
            lead = door.post("/leads", {"firstName": name, "lastName": "Chat", "email": f"{name}@example.com"})
            body = {"leadId": lead["id"], "channel": "web"} if lead else {}
            opened = lead and door.post("/conversations", body, wanted=(200, 201))
            conversation = opened["id"] if opened else None
        if conversation is not None:
            text = f"Quiero una demo {door.name}x{n}"
            body = {"senderType": "LEAD", "contentText": text}
            message = door.post(f"/conversations/{conversation}/messages", body, twice=n % 3 == 0)
            if message:
                door.told.promise("message", message["id"], text)
        yield


def sends_webhooks(door: Door, known: Known) -> Iterator[None]:
    """WhatsApp messages as BuilderBot tells of them: every second one twice, every fifth together with the last."""
    headers = {"x-webhook-token": WEBHOOK_TOKEN}
    before: list[dict[str, Any]] = []
    for n in itertools.count():
        phone = n % _WEBHOOK_PHONES
        key = f"wa-{door.name}x{n}"
        data = {"id": key, "from": f"5491160000{phone:03d}", "body": key, "name": f"marker-wa{phone}"}
        event = {"eventName": "message.incoming", "data": data}
        together = [*before, event] if n % 5 == 0 else event
        if door.post(
            "/webhooks/builderbot/whatsapp", together, wanted=(200,), keyed=False, twice=n % 2 == 0, headers=headers
        ):
            door.told.promise("webhook", None, key)
        before = [event]
        yield


def asks_for_codes(door: Door, known: Known) -> Iterator[None]:
    """A code for a number of its own; as soon as an SMS is there, what stands in it is verified."""
    waiting: dict[str, str] = {}
    for n in itertools.count():
        number = next(_numbers)
        phone = f"+54911{4000 + number % 3000:04d}{number % 10_000:04d}"  # prefixes with many codes get none
        login = f"login-{door.name}x{n}"
        body = {"phone": phone, "purpose": "LOGIN_2FA", "correlationId": login}
        if door.post("/otp", body, wanted=(200, 201), twice=n % 3 == 0):
            door.told.promise("code", None, login)
            waiting[phone] = login
        for sms in known.twilio.messages[-200:]:
            if sms.to in waiting:
                correlation = waiting.pop(sms.to)
                [code] = re.findall(r"(?<!\d)\d{6}(?!\d)", sms.text)
                if door.post("/otp/verify", {"correlationId": correlation, "otp": code}, wanted=(200,)):
                    door.told.promise("verified", None, correlation)
        yield


def sends_sms(door: Door, known: Known) -> Iterator[None]:
    for n in itertools.count():
        text = f"sms {door.name}x{n}"
        accepted = door.post(
            "/sms/send", {"to": f"+549117000{n % 5:04d}", "text": text}, wanted=(202,), twice=n % 3 == 0
        )
        if accepted:
            door.told.promise("sms", accepted["deliveryId"], text)
            door.told.promise("task", accepted["taskId"])
        yield


def runs_sources(door: Door, known: Known) -> Iterator[None]:
    for n in itertools.count():
        accepted = door.post("/sync/trigger", {"source": SOURCES[n % 2], "batchSize": 20}, wanted=(202,))
        if accepted:
            door.told.promise("sync", accepted["id"])
            door.told.promise("task", accepted["taskId"])
        yield


def reads_leads(door: Door, known: Known) -> Iterator[None]:
    """Through the cache; a summary that was there once must never be missing."""
    for lead_id in itertools.cycle(known.leads):
        lead = door.get(f"/leads/{lead_id}")
        if lead and not (lead["summary"] and lead["nextAction"]):
            door.told.wrong.append(f"GET /leads/{lead_id}: its summary is gone")
        yield


CLIENTS: dict[Client, float] = {
    makes_leads: 0.15,
    writes_messages: 0.15,
    sends_webhooks: 0.15,
    asks_for_codes: 0.4,
    sends_sms: 0.4,
    runs_sources: 0.8,
    reads_leads: 0.1,
}
"""Seconds between two steps of each kind of client."""


class MixedLoad:
    """All clients at once, each in a thread. Use it as a context manager around the fault."""

    def __init__(self, scene: Scene, known: Known, name: str) -> None:
        self.told = Told()
        self._scene = scene
        self._known = known
        self._stop = threading.Event()
        self._steps: Counter[str] = Counter()
        self._broken: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(client, pause, f"{name}{letter}"), daemon=True)
            for (client, pause), letter in zip(CLIENTS.items(), "abcdefghij", strict=False)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_GIVES_UP_SECONDS + 2 * _TIMEOUT_SECONDS)
        if self._broken and error is None:
            raise self._broken[0]

    def until_steps(self, more: int, *, seconds: float = 60.0) -> None:
        """Wait until every client has done so many further steps."""
        wanted = {client.__name__: self._steps[client.__name__] + more for client in CLIENTS}
        self._scene.until(
            lambda: all(self._steps[name] >= count for name, count in wanted.items()) or self._broken,
            f"{more} more steps of every client",
            seconds=seconds,
        )

    def _run(self, client: Client, pause: float, name: str) -> None:
        stack = self._scene.stack
        door = Door(stack.api_url, stack.api_key, self.told, self._stop, name)
        try:
            for _ in client(door, self._known):
                self._steps[client.__name__] += 1
                if self._stop.wait(pause):
                    return
        except BaseException as error:  # a test must not go on without one of its clients
            self._broken.append(error)
        finally:
            door.close()
