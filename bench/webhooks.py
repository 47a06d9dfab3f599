"""Webhooks at a constant rate, whether or not the answers keep up: real processes (one gateway, one delivery worker,
one scheduler), PostgreSQL with fsync, and a client that holds its connections as providers' proxies do."""

import asyncio
import hashlib
import hmac
import json
import secrets
import tempfile
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psutil
import psycopg

from bench.kpis import PRODUCTION_LIKE, production_like_server
from bench.report import Goal, Line, Options, Section
from contactship_common.migrate import upgrade
from contactship_devstack.guard import Guard
from contactship_devstack.stack import Stack
from contactship_devstack.valkey import temporary_server as temporary_valkey

RATE, SECONDS, PEOPLE, CONNECTIONS = 500, 30, 2_000, 64
HANDLED_WITHIN_SECONDS = 300
SECRET, TOKEN, TWILIO = (secrets.token_hex(16) for _ in range(3))
BASE = "https://crm.example.com"
ENV = {
    "ENVIRONMENT": "staging",
    "ELEVENLABS_WEBHOOK_SECRET": SECRET,
    "BUILDERBOT_WEBHOOK_TOKEN": TOKEN,
    "TWILIO_AUTH_TOKEN": TWILIO,
    "PUBLIC_BASE_URL": BASE,
}

Request = tuple[str, dict[str, str], bytes]


def whatsapp(n: int) -> Request:
    """A message; each person writes several."""
    data = {"id": f"wamid.{n}", "from": _phone(n)[1:], "body": f"Hola, consulta {n}", "name": f"Persona {n % PEOPLE}"}
    body = json.dumps({"eventName": "message.incoming", "data": data | {"messageTimestamp": int(time.time())}})
    return "/webhooks/builderbot/whatsapp", {"x-webhook-token": TOKEN}, body.encode()


def call(n: int) -> Request:
    """A finished call with its transcript, signed."""
    turns = [{"role": role, "message": "Quiero saber el precio del plan anual."} for role in ("agent", "user") * 8]
    phone = {"direction": "inbound", "agent_number": "+14155550100", "external_number": _phone(n)}
    about = {"start_time_unix_secs": int(time.time()) - 60, "call_duration_secs": 55, "phone_call": phone}
    data = {"conversation_id": f"conv_{n}", "status": "done", "transcript": turns, "metadata": about}
    event = {"type": "post_call_transcription", "event_timestamp": int(time.time()), "data": data}
    body = json.dumps(event).encode()
    moment = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return "/webhooks/elevenlabs/call", {"elevenlabs-signature": f"t={moment},v0={signature}"}, body


def sms(n: int) -> Request:
    """An SMS, signed as Twilio signs."""
    path = "/webhooks/twilio/sms/inbound"
    form = {"MessageSid": f"SM{n:032d}", "From": _phone(n), "To": "+14155550100", "Body": f"Consulta {n}"}
    text = f"{BASE}{path}" + "".join(f"{name}{form[name]}" for name in sorted(form))
    signature = b64encode(hmac.new(TWILIO.encode(), text.encode(), hashlib.sha1).digest()).decode()
    headers = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded"}
    return path, headers, urlencode(form).encode()


def _phone(n: int) -> str:
    return f"+54911{40_000_000 + n % PEOPLE}"


KINDS: tuple[Callable[[int], Request], ...] = (whatsapp, whatsapp, whatsapp, call, sms)


class Client:
    """HTTP/1.1 over a fixed number of connections; of little work, for it shares the machine."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self.host, self.port = where.hostname or "", where.port or 80
        self.free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.took_ms: list[float] = []
        self.statuses: Counter[int] = Counter()

    async def open(self) -> None:
        for _ in range(CONNECTIONS):
            self.free.put_nowait(await asyncio.open_connection(self.host, self.port))

    async def send(self, request: Request, due: float) -> None:
        """Times from when the request was due: a client that waits for a connection waits for the server."""
        path, headers, body = request
        lines = [f"POST {path} HTTP/1.1", f"Host: {self.host}", f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""])
        reader, writer = await self.free.get()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.free.put_nowait((reader, writer))
        self.took_ms.append((time.perf_counter() - due) * 1_000)
        self.statuses[int(answer[9:12])] += 1


async def storm(client: Client, count: int, rate: int, first: int = 0) -> None:
    """So many requests at this rate, each at its time. Signed beforehand: that is the providers' work."""
    requests = [KINDS[n % len(KINDS)](n) for n in range(first, first + count)]
    begun = time.perf_counter()
    running = set()
    for n, request in enumerate(requests):
        due = begun + n / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(client.send(request, due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


def _unhandled(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM webhook_inbox WHERE handled_at IS NULL").fetchone()
    return int(row[0]) if row else 0


def _wait_until_handled(url: str) -> int:
    """How many are left when all are handled, or the patience is at its end."""
    deadline = time.perf_counter() + HANDLED_WITHIN_SECONDS
    while (left := _unhandled(url)) and time.perf_counter() < deadline:
        time.sleep(0.25)
    return left


def _cpu_seconds(stack: Stack) -> dict[str, float]:
    times = {name: psutil.Process(stack.process(name).pid).cpu_times() for name in stack.names}
    return {name: time.user + time.system for name, time in times.items()}


async def run(options: Options) -> Section:
    guard = Guard()
    with (
        production_like_server() as postgres,
        temporary_valkey(guard) as valkey,
        tempfile.TemporaryDirectory() as folder,
    ):
        url = postgres.create_database("contactship")
        upgrade(url)
        stack = Stack(database_url=url, redis_url=valkey.url, folder=Path(folder), env=ENV, guard=guard)
        with stack:
            stack.start("api", "scheduler", "delivery_worker")
            warm, client = Client(stack.api_url), Client(stack.api_url)
            await warm.open()
            await client.open()
            await storm(warm, 500, 200, first=10_000_000)
            before = _cpu_seconds(stack)
            begun = time.perf_counter()
            await storm(client, RATE * SECONDS, RATE)
            behind = _unhandled(url)
            left = await asyncio.to_thread(_wait_until_handled, url)
            all_handled = time.perf_counter() - begun
            used = {name: seconds - before[name] for name, seconds in _cpu_seconds(stack).items()}
    guard.close()
    section = Section(
        f"{RATE} webhooks a second for {SECONDS} s",
        [
            "Three WhatsApp messages, one call and one SMS in five, from "
            f"{PEOPLE:,} people; one gateway, one delivery worker, one scheduler, PostgreSQL and the client on the "
            "same machine, fsync on, " + ", ".join(f"{name}={value}" for name, value in PRODUCTION_LIKE.items()) + "."
        ],
        [Line("answer, from when it was due", client.took_ms)],
    )
    section.remarks.append(
        f"Answers: {dict(client.statuses)}. Unhandled at the end of the storm: {behind:,}; all handled "
        f"{all_handled:.0f} s after its beginning ({left} left). CPU a webhook: "
        + ", ".join(f"{name} {seconds / (RATE * SECONDS) * 1_000:.2f} ms" for name, seconds in used.items())
        + "."
    )
    took = sorted(client.took_ms)
    section.goals += [
        Goal("answered with 200", client.statuses[200], at_least=RATE * SECONDS, unit="webhooks"),
        Goal("answer, p95", took[int(len(took) * 0.95)], below=50, unit="ms"),
        Goal("all handled", all_handled if not left else float("inf"), below=60, unit="s"),
    ]
    return section
