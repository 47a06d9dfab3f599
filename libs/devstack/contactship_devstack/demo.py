"""`make demo`: a story on the running system, told with live progress. Can be played again and again."""

import csv
import io
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

from contactship_devstack.data_folder import DataFolder
from contactship_devstack.errors import DevstackError

_LEADS = 200
_PAGE = 100
_PATIENCE_S = 120.0
_POLL_S = 1.0  # within the rate limit, which counts the demo like any caller
_BAR = 30

_FIRST = ("Ana", "Bruno", "Carla", "Diego", "Elena", "Franco", "Gabriela", "Hugo", "Irene", "Joaquín")
_LAST = ("Acosta", "Benítez", "Castro", "Domínguez", "Espinosa", "Ferreyra", "Giménez", "Herrera", "Ibarra", "Juárez")
_JOBS = ("Arquitecta", "Contador", "Directora de ventas", "Ingeniero", "Médica", "Abogado", "Diseñadora", "Docente")


class Demo:
    """One telling. `tag` keeps its people apart from those of earlier ones."""

    def __init__(self, client: httpx.Client, whatsapp_token: str, docs: str) -> None:
        self._client = client
        self._docs = docs
        self._whatsapp_token = whatsapp_token
        self._tag = f"{time.time():.0f}"

    def play(self) -> None:
        started = time.monotonic()
        self._import_leads()
        self._summaries()
        self._meetings()
        self._conversation()
        self._whatsapp()
        self._code()
        self._kpis()
        _say("", f"That was all, in {time.monotonic() - started:.0f} s. Swagger UI: {self._docs}")

    def call(self, method: str, path: str, *, expect: int | tuple[int, ...] = 200, **content: Any) -> Any:
        response = self._client.request(method, path.lstrip("/"), **content)
        if response.status_code == 429:
            pause = int(response.headers.get("Retry-After", "1"))
            _tell(f"the rate limit is reached; on in {pause} s")
            time.sleep(pause)
            response = self._client.request(method, path.lstrip("/"), **content)
        if response.status_code not in ((expect,) if isinstance(expect, int) else expect):
            raise DevstackError(f"{method} {path} answered {response.status_code}: {response.text[:300]}")
        return response.json() if response.content else None

    def _import_leads(self) -> None:
        _say("1", f"{_LEADS} leads arrive as a CSV file")
        text = io.StringIO()
        rows = csv.writer(text)
        rows.writerow(["firstName", "lastName", "email", "phone", "profession"])
        for number in range(_LEADS):
            first, last = _FIRST[number % 10], _LAST[number // 10 % 10]
            email = f"demo.{self._tag}.{number}@example.com"
            rows.writerow([first, last, email, f"+54911{40_000_000 + number}", _JOBS[number % len(_JOBS)]])
        files = {"file": ("leads.csv", text.getvalue().encode(), "text/csv")}
        accepted = self.call("POST", "/leads/import", expect=202, files=files)
        self._task(accepted["taskId"], "imported")

    def _summaries(self) -> None:
        _say("2", "Each of them gets a summary and a next action")
        leads: list[Any] = []
        for page in range(1, -(-_LEADS // _PAGE) + 1):
            mine = {"search": f"demo.{self._tag}.", "take": _PAGE, "page": page}
            leads += self.call("GET", "/leads", params=mine)["data"]
        batch = self.call("POST", "/leads/summarize", expect=202, json={"leadIds": [lead["id"] for lead in leads]})

        def done() -> tuple[int, int]:
            counts = self.call("GET", f"/tasks/batches/{batch['batchId']}")
            return counts["completed"] + counts["failed"] + counts["cancelled"], counts["total"]

        _progress("summarised", done)
        lead = self.call("GET", f"/leads/{leads[0]['id']}")
        _tell(f"{lead['name']}: {lead['summary']}")
        _tell(f"next: {lead['nextAction']}")

    def _meetings(self) -> None:
        _say("3", "Sales meetings are classified")
        seeded = self.call("POST", "/seeds/populate", expect=(200, 202))
        _tell(f"{seeded['created']['meetings']} new meetings, {seeded['skipped']} known ones")
        total = self.call("GET", "/meetings", params={"take": 1})["meta"]["total"]

        def done() -> tuple[int, int]:
            return self.call("GET", "/meetings", params={"take": 1, "classified": "true"})["meta"]["total"], total

        _progress("classified", done)

    def _conversation(self) -> None:
        _say("4", "A lead writes on the web; the AI says how urgent it is")
        lead = self.call("GET", "/leads", params={"search": f"demo.{self._tag}.0@", "take": 1})["data"][0]
        wanted = {"leadId": lead["id"], "channel": "web"}
        conversation = self.call("POST", "/conversations", expect=(200, 201), json=wanted)
        path = f"/conversations/{conversation['id']}"
        words = "Necesito con urgencia el precio del plan anual, hoy mismo tengo que decidir."
        self.call("POST", f"{path}/messages", expect=201, json={"contentText": words, "senderType": "LEAD"})
        _tell(f"{lead['name']}: «{words}»")
        self._task(self.call("POST", f"{path}/analyze", expect=202)["taskId"], "analysed")
        seen = self.call("GET", path)
        _tell(f"priority {seen['aiPriority']}, tags {', '.join(seen['aiTags'])}: {seen['aiSummary']}")

    def _whatsapp(self) -> None:
        _say("5", "A WhatsApp message comes in from somebody new, and is answered")
        digits = f"54911{50_000_000 + int(self._tag) % 9_000_000}"
        data = {"id": f"demo-{self._tag}", "from": digits, "name": "Marina Demo", "body": "Hola, ¿siguen abiertos?"}
        event = {"eventName": "message.incoming", "data": data}
        token = {"X-Webhook-Token": self._whatsapp_token}
        self.call("POST", "/webhooks/builderbot/whatsapp", json=event, headers=token)

        def arrived() -> Any:
            found = self.call("GET", "/conversations", params={"channel": "whatsapp", "search": digits, "limit": 1})
            return found["data"][0] if found["data"] else None

        conversation = _until(arrived, "the message to arrive")
        _tell(f"a lead called {conversation['lead']['name']} with a conversation: «{data['body']}»")
        path = f"/conversations/{conversation['id']}/messages"
        sent = self.call("POST", path, expect=201, json={"contentText": "¡Hola, Marina! Sí, hasta las 20."})

        def delivered() -> Any:
            messages = self.call("GET", path, params={"limit": 1})["data"]
            return messages[0] if messages[0]["id"] == sent["id"] and messages[0]["status"] != "PENDING" else None

        _tell(f"our answer: {_until(delivered, 'the answer to be sent')['status']}")

    def _code(self) -> None:
        _say("6", "A one-time code goes out by SMS")
        phone = f"+54911{60_000_000 + int(self._tag) % 9_000_000}"
        created = self.call("POST", "/otp", expect=201, json={"phone": phone, "purpose": "LOGIN_2FA"})
        _tell("no SMS provider here: the terminal of `make run` shows it (it is in no table, log or answer)")
        if not sys.stdin.isatty():
            return
        code = input("     Type the code, or Enter to go on: ").strip()
        if code:
            body = {"correlationId": created["correlationId"], "otp": code}
            answer = self._client.post("otp/verify", json=body)
            _tell("verified" if answer.is_success else f"refused: {answer.json().get('code')}")

    def _kpis(self) -> None:
        _say("7", "What the figures say")
        for path in ("overview", "clients/engagement"):
            for name, value in self.call("GET", f"/kpis/{path}").items():
                _tell(f"{name:<32} {value}")
        analysis = self.call("GET", "/kpis/clients/analysis")
        for name, values in analysis.items():
            if isinstance(values, list) and values:
                top = ", ".join(f"{one['value']} {one['percentage']} %" for one in values[:3])
                _tell(f"{name:<32} {top}")

    def _task(self, task_id: str, word: str) -> None:
        def look() -> Any:
            task = self.call("GET", f"/tasks/{task_id}", params={"wait": 5})
            return task if task["status"] in ("completed", "failed", "cancelled") else None

        task = _until(look, f"it to be {word}")
        if task["status"] != "completed":
            raise DevstackError(f"the task ended as {task['status']}: {task.get('error')}")
        _tell(word)


def _say(number: str, text: str) -> None:
    print(f"\n{f'{number}. ' if number else ''}{text}", flush=True)


def _tell(text: str) -> None:
    print(f"     {text}", flush=True)


def _until(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(_POLL_S)
    raise DevstackError(f"waited {_PATIENCE_S:g} s for {what}; `make tasks` shows what waits and what failed")


def _progress(word: str, done: Callable[[], tuple[int, int]]) -> None:
    live = sys.stdout.isatty()

    def look() -> bool:
        count, total = done()
        if live:
            filled = _BAR * count // max(total, 1)
            print(f"\r     [{'█' * filled}{'·' * (_BAR - filled)}] {count}/{total} {word}", end="", flush=True)
        return count >= total

    _until(look, f"all to be {word}")
    count, total = done()
    print(f"{chr(13) if live else ''}     {count} of {total} {word}{' ' * _BAR}".rstrip(), flush=True)


def demo() -> None:
    """Play it on what `make run` started. Raises DevstackError if nothing runs, or something does not work."""
    data = DataFolder.of_environment()
    running = data.running()
    if running is None:
        raise DevstackError("nothing runs on this data folder; start it with `make run` in another terminal")
    key = os.environ.get("API_SECRET_KEY") or data.secret("API_SECRET_KEY")
    token = os.environ.get("BUILDERBOT_WEBHOOK_TOKEN") or data.secret("BUILDERBOT_WEBHOOK_TOKEN")
    base = f"{running.api_url}/api/v1/"
    with httpx.Client(base_url=base, headers={"x-api-key": key}, timeout=30, trust_env=False) as client:
        try:
            Demo(client, token, f"{running.api_url}/api/docs").play()
        except httpx.HTTPError as error:
            raise DevstackError(f"the API at {running.api_url} does not answer ({type(error).__name__})") from error
