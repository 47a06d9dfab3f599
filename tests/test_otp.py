"""One-time codes with real processes: the code is in the SMS and nowhere else, and cannot be guessed."""

import asyncio
import json
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import redis
from system_testkit import Scene, SceneFactory
from vendors.messaging import Answer, Request, Taken
from vendors.twilio_server import TwilioServer

from contactship_devstack import fork

pytestmark = pytest.mark.system

PUBLIC = "https://crm.example.com"
ENV = {
    "OTP_SECRET": "otp-secret-of-the-tests-0123456789abcdef",
    "OTP_VERIFY_LIMIT_PER_ADDRESS": "1000000",
    "PUBLIC_BASE_URL": PUBLIC,
}
PHONE = "+5491155551234"
GUESSES = 1_000


@pytest.fixture
def twilio() -> Iterator[TwilioServer]:
    with TwilioServer() as server:
        yield server


class EchoingTwilio(TwilioServer):
    """Refuses everything, and repeats what was to be sent, as some vendors do. `seen` is what it refused."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Taken] = []

    def refuse(self, request: Request) -> Answer | None:
        form = dict(parse_qsl(request.body.decode()))
        self.seen.append(Taken("", form["To"], form["Body"], form))
        words = f"'{form['Body']}' to {form['To']} was refused: {code_in(self.seen[-1])} looks like spam"
        return Answer(400, {"code": 30007, "message": words, "status": 400})


def ask(scene: Scene, phone: str = PHONE, **body: Any) -> str:
    """A new code; returns its correlationId."""
    body = {"phone": phone, "purpose": "LOGIN_2FA"} | body
    return str(scene.call("POST", "/otp", 201, json=body)["correlationId"])


def code_in(sms: Taken) -> str:
    [code] = re.findall(r"(?<!\d)\d{6}(?!\d)", sms.text)
    return str(code)


def everything_in_postgres(scene: Scene) -> dict[str, str]:
    """Every row of every table as text, by table; bytes as hexadecimal and as they read."""
    tables = scene.sql("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    found = {}
    for table in tables:
        rows = scene.sql(f'SELECT t::text AS row FROM "{table["name"]}" AS t')
        text = "\n".join(row["row"] for row in rows)
        binary = (bytes.fromhex(part).decode("latin-1") for part in re.findall(r"\\x((?:[0-9a-f]{2})+)", text))
        found[table["name"]] = "\n".join([text, *binary])
    return found


def everything_in_redis(scene: Scene) -> str:
    """Every key and value, serialised as the server would write them to disk."""
    with redis.Redis.from_url(scene.stack.redis_url) as client:
        parts = [key + b" " + (_value(client, key) or b"") for key in client.scan_iter(count=1_000)]
    return b"\n".join(parts).decode("latin-1")


def _value(client: Any, key: bytes) -> bytes:
    kind = client.type(key).decode()
    read = {
        "string": lambda: client.get(key),
        "list": lambda: b" ".join(client.lrange(key, 0, -1)),
        "set": lambda: b" ".join(client.smembers(key)),
        "zset": lambda: b" ".join(member for member, _ in client.zrange(key, 0, -1, withscores=True)),
        "hash": lambda: b" ".join(part for pair in client.hgetall(key).items() for part in pair),
        "stream": lambda: repr(client.xrange(key)).encode(),
    }
    return bytes(read[kind]() or b"")


def logs(scene: Scene) -> str:
    return "\n".join(scene.stack.logs(name) for name in scene.stack.names)


def test_the_code_is_in_the_sms_and_nowhere_else(make_scene: SceneFactory, twilio: TwilioServer) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=ENV | twilio.settings | {"LOG_LEVEL": "DEBUG"})
    answers: list[str] = []
    scene.http.event_hooks["response"].append(lambda answer: answers.append(answer.read().decode()))
    login = ask(scene, templateData={"name": "Ana"})
    [sms] = twilio.wait_for(1)
    code = code_in(sms)
    assert sms.to == PHONE
    assert sms.text == f"Su código de acceso es: {code}. Válido por 5 minutos. No comparta este código."
    assert 200 < int(sms.fields["ValidityPeriod"]) <= 300
    scene.until_quiet()
    assert scene.sql("SELECT status FROM otp_challenges") == [{"status": "SENT"}]
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    scene.call("POST", "/otp/verify", 400, json={"correlationId": login, "otp": wrong})
    keyed = {"idempotency-key": "check-1"}
    scene.call("POST", "/otp/verify", 200, json={"correlationId": login, "otp": code}, headers=keyed)
    scene.call("POST", "/otp/verify", 400, json={"correlationId": login, "otp": code})
    ask(scene, "+5491155559999")
    interaction = scene.sql("SELECT interaction_id AS id FROM otp_challenges WHERE correlation_id = %(id)s", id=login)
    reads = [f"/interactions/{interaction[0]['id']}", "/interactions", "/audit-logs", "/tasks", "/deliveries/{}"]
    [delivery] = scene.sql("SELECT d.id FROM deliveries d JOIN otp_challenges c ON c.id = d.otp_challenge_id"
                           " WHERE c.correlation_id = %(id)s", id=login)  # fmt: skip
    for path in reads:
        scene.http.get(f"{scene.stack.api_url}/api/v1{path.format(delivery['id'])}")
    twilio.wait_for(2)
    scene.until_quiet()
    codes = {code, code_in(twilio.messages[1])}
    tables = everything_in_postgres(scene)
    assert PHONE in tables["otp_challenges"]
    assert login in tables["idempotency_keys"]
    places = tables | {"redis": everything_in_redis(scene), "logs": logs(scene), "answers": "\n".join(answers)}
    assert "cs:" in places["redis"]
    assert login in places["answers"]
    for secret in codes:
        alone = re.compile(rf"(?<![0-9a-fA-F.]){secret}(?![0-9a-fA-F])")
        assert [place for place, text in places.items() if alone.search(text)] == []
    assert PHONE not in places["logs"]
    assert PHONE.removeprefix("+") not in places["logs"]
    scene.assert_nothing_was_lost()


def test_an_error_of_the_vendor_that_repeats_the_sms_gives_nothing_away(make_scene: SceneFactory) -> None:
    with EchoingTwilio() as twilio:
        scene = make_scene("api", "scheduler", "delivery_worker", env=ENV | twilio.settings)
        login = ask(scene)
        scene.until_quiet()
        [sms] = twilio.seen
    code = code_in(sms)
    assert scene.sql("SELECT status FROM otp_challenges") == [{"status": "FAILED"}]
    assert scene.sql("SELECT status FROM interactions") == [{"status": "FAILED"}]
    places = everything_in_postgres(scene) | {"redis": everything_in_redis(scene), "logs": logs(scene)}
    assert [place for place, text in places.items() if re.search(rf"(?<!\d){code}(?!\d)", text)] == []
    told = scene.call("POST", "/otp/verify", 400, json={"correlationId": login, "otp": code})
    assert told["code"] == "otp_expired"


async def _guess(scene: Scene, login: str, guesses: list[str]) -> list[tuple[int, str]]:
    """All at once, each over a connection of its own. By hand: the pool of a proper client takes longer for a thousand
    connections than the gateway for its answers."""
    address = urlsplit(scene.stack.api_url)

    async def one(otp: str) -> tuple[int, str]:
        body = json.dumps({"correlationId": login, "otp": otp})
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"POST /api/v1/otp/verify HTTP/1.1\r\nHost: {address.netloc}\r\nX-Api-Key: {scene.stack.api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        head, _, told = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), str(json.loads(told).get("code", "verified"))

    return await asyncio.gather(*(one(otp) for otp in guesses))


def test_of_a_thousand_guesses_at_once_five_are_judged(make_scene: SceneFactory, twilio: TwilioServer) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=ENV | twilio.settings | {"DB_POOL_TIMEOUT": "60"})
    login = ask(scene)
    code = code_in(twilio.wait_for(1)[0])
    scene.until_quiet()
    wrong = [f"{(int(code) + number) % 1_000_000:06}" for number in range(1, GUESSES + 1)]
    began = time.monotonic()
    told = Counter(asyncio.run(_guess(scene, login, wrong)))
    print(f"{GUESSES} guesses at once took {time.monotonic() - began:.1f} s")
    assert told == {(400, "otp_invalid"): 5, (400, "otp_locked"): GUESSES - 5}
    assert asyncio.run(_guess(scene, login, [code])) == [(400, "otp_locked")]
    audited = scene.sql("SELECT data->>'code' AS code, count(*)::int AS n FROM audit_logs"
                        " WHERE action = 'otp.refused' GROUP BY 1")  # fmt: skip
    assert {row["code"]: row["n"] for row in audited} == {"otp_invalid": 5, "otp_locked": GUESSES - 4}
    assert scene.sql("SELECT sent, wrong FROM otp_limits") == [{"sent": 1, "wrong": 5}]
    assert scene.sql("SELECT status FROM otp_challenges") == [{"status": "LOCKED"}]
    assert scene.call("POST", "/otp", 429, json={"phone": PHONE, "purpose": "LOGIN_2FA"})["code"] == "otp_rate_limited"


def test_guesses_at_two_gateways_are_counted_together(make_scene: SceneFactory) -> None:
    scene = make_scene(env=ENV | {"DB_POOL_TIMEOUT": "30"}, api=2)
    login = ask(scene)

    async def both() -> list[Any]:
        async with httpx.AsyncClient(headers={"x-api-key": scene.stack.api_key}, timeout=60) as client:
            urls = [f"{scene.stack.api_urls[number % 2]}/api/v1" for number in range(60)]
            guesses = (client.post(f"{url}/otp/verify", json={"correlationId": login, "otp": "x"}) for url in urls)
            answers = await asyncio.gather(*guesses)
            created = (client.post(f"{url}/otp", json={"phone": "+5491155559999", "purpose": "LOGIN_2FA"})
                       for url in urls[:20])  # fmt: skip
            return [*answers, *await asyncio.gather(*created)]

    told = Counter(answer.json().get("code", "ok") for answer in asyncio.run(both()))
    assert told == {"otp_invalid": 5, "otp_locked": 55, "ok": 3, "otp_rate_limited": 17}


def test_a_late_report_does_not_take_back_a_verification(make_scene: SceneFactory, twilio: TwilioServer) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=ENV | twilio.settings)
    login = ask(scene)
    [sms] = twilio.wait_for(1)
    scene.until_quiet()
    scene.call("POST", "/otp/verify", 200, json={"correlationId": login, "otp": code_in(sms)})
    for word in ("sent", "delivered", "failed"):
        assert twilio.report(sms, word, base_url=scene.stack.api_url).status_code == 200
        scene.until_quiet()  # of two ends the first to be handled counts
    [state] = scene.sql("SELECT state, provider_status FROM deliveries")
    assert state == {"state": "DELIVERED", "provider_status": "delivered"}
    assert scene.sql("SELECT status FROM otp_challenges") == [{"status": "VERIFIED"}]
    assert scene.sql("SELECT status FROM interactions") == [{"status": "COMPLETED"}]


def test_many_equal_requests_send_one_sms(make_scene: SceneFactory, twilio: TwilioServer) -> None:
    scene = make_scene("api", "scheduler", "delivery_worker", env=ENV | twilio.settings)
    body = {"phone": PHONE, "purpose": "LOGIN_2FA", "correlationId": "login-1"}

    async def many() -> list[httpx.Response]:
        async with httpx.AsyncClient(headers={"x-api-key": scene.stack.api_key}, timeout=30) as client:
            url = f"{scene.stack.api_url}/api/v1/otp"
            return await asyncio.gather(*(client.post(url, json=body) for _ in range(20)))

    answers = asyncio.run(many())
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 19}
    scene.until_quiet()
    assert len(twilio.messages) == 1


@pytest.mark.chaos
def test_an_unknown_id_takes_as_long_as_a_wrong_code_over_http(make_scene: SceneFactory) -> None:
    scene = make_scene("api", env=ENV)
    login = ask(scene)
    took: dict[str, list[float]] = {login: [], "nobody-knows-this": []}
    for _ in range(200):
        scene.sql("UPDATE otp_limits SET wrong = 0")
        for asked, times in took.items():  # in turns, so that other work on this machine hits both
            began = time.perf_counter()
            scene.call("POST", "/otp/verify", 400, json={"correlationId": asked, "otp": "x"})
            times.append(time.perf_counter() - began)
    known, unknown = (statistics.median(times) for times in took.values())
    print(f"wrong code {known * 1e3:.2f} ms, unknown id {unknown * 1e3:.2f} ms, ratio {known / unknown:.2f}")
    assert 0.75 < known / unknown < 1.33


@pytest.mark.parametrize("program", ["contactship-api", "contactship-delivery-worker"])
def test_a_short_secret_is_refused_in_production_in_one_line(program: str, scene_env: dict[str, str]) -> None:
    env = scene_env | {"ENVIRONMENT": "production", "OTP_SECRET": "too short"}
    ended = fork.run(program, env=env)
    assert ended.returncode == 1
    told = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(told) == 1, ended.stderr
    assert told[0].startswith(f"{program}: OTP_SECRET must")
    assert "too short" not in ended.stderr


@pytest.fixture
def scene_env(database_url: str, redis_url: str) -> dict[str, str]:
    """What a process needs besides; nothing of this one's environment but the way to Python."""
    passed = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    secret = "0123456789abcdef-0123456789abcdef-xyz"
    return passed | {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "JWT_SECRET": secret, "PORT": "0"}
