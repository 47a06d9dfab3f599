"""Only who knows the secret gets anything stored; whoever does not is told nothing, and is noticed."""

import hashlib
import hmac
import time
from urllib.parse import urlencode

import pytest
from api_testkit import MakeApi, Sql, assert_problem
from pydantic import SecretStr
from starlette.datastructures import FormData
from twilio.request_validator import RequestValidator
from webhooks_testkit import Hooks

from contactship_api.inbound_webhooks import verify

SID = {"MessageSid": "SM1", "From": "+5491155551234", "Body": "Hola", "Empty": "", "Zzz": "ñandú"}
EVENT = {"event_id": "1", "call_id": "c", "status": "done"}


def test_twilio_s_own_example() -> None:
    form = FormData({
        "CallSid": "CA1234567890ABCDE", "Digits": "1234", "From": "+14158675309", "Caller": "+14158675309",
        "To": "+18005551212",
    })  # fmt: skip
    url, key = "https://mycompany.com/myapp.php?foo=1&bar=2", SecretStr("12345")
    assert verify.twilio("RSOYDt4T1cUTdK1PDd93/VVr8B8=", url, form, key).ok
    assert not verify.twilio("RSOYDt4T1cUTdK1PDd93/VVr8B9=", url, form, key).ok
    assert not verify.twilio("RSOYDt4T1cUTdK1PDd93/VVr8B8=", url + "&x=1", form, key).ok


def test_a_twilio_form_that_was_altered_anywhere_is_refused() -> None:
    fields = {"MessageSid": "SM1", "From": "+14158675309", "Body": "Hola", "Unknown": "x"}
    url, key = "https://crm.example.com/webhooks/twilio/sms", SecretStr("12345")
    signature = RequestValidator("12345").compute_signature(url, fields)
    assert verify.twilio(signature, url, FormData(fields), key).ok
    for name, value in fields.items():
        for n in range(len(value)):
            altered = value[:n] + chr(ord(value[n]) ^ 1) + value[n + 1 :]
            assert not verify.twilio(signature, url, FormData(fields | {name: altered}), key).ok
        without = {other: told for other, told in fields.items() if other != name}
        assert not verify.twilio(signature, url, FormData(without), key).ok
        assert not verify.twilio(signature, url, FormData(without | {name + "x": value}), key).ok
    assert not verify.twilio(signature, url, FormData(fields | {"Added": ""}), key).ok


def test_elevenlabs_own_example() -> None:
    body = b'{"event_type": "speech.completed", "id": "123456"}'
    header = "t=1600000000,v0=f8a0d1dc33ee963cb54d2f31514555995e93313c9d2042c030adbb82b87fae13"
    key = SecretStr("test_secret")
    assert verify.elevenlabs(header, body, key, now=1_600_000_000).ok
    for seconds in (1_800, -1_800):
        assert verify.elevenlabs(header, body, key, now=1_600_000_000 + seconds).ok
        assert not verify.elevenlabs(header, body, key, now=1_600_000_000 + seconds * 1.001).ok
    for n in range(len(body)):
        altered = body[:n] + bytes([body[n] ^ 1]) + body[n + 1 :]
        assert not verify.elevenlabs(header, altered, key, now=1_600_000_000).ok


@pytest.mark.parametrize("secret", ["", "right"])
@pytest.mark.parametrize("presented", [None, "", "wrong", "righ", "right ", "ríght"])
def test_a_wrong_or_empty_token_never_fits(secret: str, presented: str | None) -> None:
    assert not verify.token_fits(presented, SecretStr(secret))


@pytest.mark.parametrize(
    "header",
    ["", "t=,v0=", "v0=aa", "t=1", "t=x,v0=aa", "t=1e9,v0=aa", "t=\u0661,v0=aa", "t=" + "9" * 400 + ",v0=aa", ",,,=,",
     "t=1,v1=aa"],
)  # fmt: skip
def test_a_malformed_signature_is_refused(header: str) -> None:
    assert not verify.elevenlabs(header, b"{}", SecretStr("x")).ok


async def rejections(sql: Sql) -> list[str]:
    rows = await sql("SELECT actor, data FROM audit_logs WHERE action = 'webhook.reject' ORDER BY id")
    return [f"{row['actor']} {row['data']['reason']}" for row in rows]


async def test_signed_webhooks_are_stored(hooks: Hooks, sql: Sql) -> None:
    for answer in (
        await hooks.elevenlabs(EVENT),
        await hooks.twilio(SID),
        await hooks.twilio({"MessageSid": "SM1", "MessageStatus": "sent"}, kind="status"),
        await hooks.builderbot({"eventName": "message.incoming", "data": {"id": "1", "from": "1", "body": "x"}}),
    ):
        assert (answer.status_code, answer.json()) == (200, {"success": True, "duplicate": False})
    rows = await sql("SELECT provider, kind FROM webhook_inbox ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [
        ("elevenlabs", "call"), ("twilio", "sms_inbound"), ("twilio", "sms_status"), ("builderbot", "whatsapp"),
    ]  # fmt: skip
    tasks = await sql("SELECT kind, status, requested_by FROM tasks")
    assert {task["kind"] for task in tasks} == {"webhook.handle"}
    assert len(tasks) == 4


@pytest.mark.parametrize("at", [-1_801, 1_900])
async def test_an_old_or_future_signature_is_refused(hooks: Hooks, sql: Sql, at: int) -> None:
    assert_problem(await hooks.elevenlabs(EVENT, at=time.time() + at), 401, "webhook_rejected")
    assert await rejections(sql) == ["provider:elevenlabs signature_stale"]


async def test_refusals_are_audited_and_leave_nothing_behind(hooks: Hooks, sql: Sql) -> None:
    client = hooks.api.anonymous
    for answer in (
        await hooks.elevenlabs(EVENT, secret="other"),
        await client.post("/api/v1/webhooks/elevenlabs/call", content=b"{}"),
        await hooks.twilio(SID, token="other"),
        await client.post("/api/v1/webhooks/twilio/sms/inbound", content=urlencode(SID)),
        await client.post("/api/v1/webhooks/twilio/sms/status", content=b"%ED%A0%80=%00&\xff\xfe"),
        await hooks.builderbot([], query="?token=wrong"),
        await hooks.builderbot([], path="/api", nothing="x"),
    ):
        assert_problem(answer, 401, "webhook_rejected")
    assert await rejections(sql) == [
        "provider:elevenlabs signature_wrong", "provider:elevenlabs signature_missing", "provider:twilio signature_wrong",
        "provider:twilio signature_missing", "provider:twilio signature_missing", "provider:builderbot token_wrong",
        "provider:builderbot token_missing",
    ]  # fmt: skip
    assert await sql("SELECT 1 FROM webhook_inbox UNION ALL SELECT 1 FROM tasks") == []


@pytest.mark.parametrize("content", [b"MessageSid=%ED%A0%80&a=%FF", b"\xff\xfe", b"a" * 3_000, b"&=" * 1_200])
async def test_a_strange_form_with_a_signature_is_refused_and_no_error(hooks: Hooks, content: bytes) -> None:
    answer = await hooks.api.anonymous.post(
        "/api/v1/webhooks/twilio/sms/status", content=content, headers={b"x-twilio-signature": b"\xe9="}
    )
    assert_problem(answer, 401, "webhook_rejected")


@pytest.mark.parametrize(
    "unset",
    [("elevenlabs_webhook_secret", "elevenlabs_webhook_token"), ("builderbot_webhook_token",),
     ("twilio_auth_token", "twilio_webhook_token")],
)  # fmt: skip
async def test_without_any_secret_the_route_is_not_there(hooks: Hooks, sql: Sql, unset: tuple[str, ...]) -> None:
    hooks.use(**dict.fromkeys(unset, ""))
    # An empty key would verify what is signed with an empty key.
    empty = hmac.new(b"", str(int(time.time())).encode() + b".{}", hashlib.sha256).hexdigest()
    path = {"e": "elevenlabs/call", "b": "builderbot/whatsapp", "t": "twilio/sms/inbound"}[unset[0][0]]
    answer = await hooks.api.anonymous.post(
        f"/api/v1/webhooks/{path}?token=",
        content=b"{}",
        headers={
            "x-webhook-token": "", "elevenlabs-signature": f"t={int(time.time())},v0={empty}",
            "x-twilio-signature": "x",
        },
    )  # fmt: skip
    assert_problem(answer, 404, "webhook_not_configured")
    assert await sql("SELECT 1 FROM webhook_inbox") == []


async def test_with_only_a_token_nothing_signed_with_an_empty_key_passes(hooks: Hooks) -> None:
    hooks.use(elevenlabs_webhook_secret="", twilio_auth_token="")
    assert (await hooks.elevenlabs(EVENT, secret="")).status_code == 401
    assert (await hooks.twilio(SID, token="")).status_code == 401
    client = hooks.api.anonymous
    answer = await client.post("/api/v1/webhooks/elevenlabs/call", json=EVENT, headers={"x-webhook-token": "el-token"})
    assert answer.status_code == 200
    answer = await client.post(
        "/api/v1/webhooks/twilio/sms/inbound", content=urlencode(SID), headers={"x-webhook-token": "tw-token"}
    )
    assert answer.status_code == 200


async def test_twilio_signs_the_public_address_whatever_the_request_claims(hooks: Hooks) -> None:
    assert (await hooks.twilio(SID, host="evil.example", **{"x-forwarded-host": "evil.example"})).status_code == 200
    assert (await hooks.twilio(SID, signed_path="/api/v1/webhooks/twilio/sms/status")).status_code == 401
    hooks.use(public_base_url="https://other.example.com")
    assert (await hooks.twilio(SID)).status_code == 401
    hooks.use(public_base_url="")
    assert (await hooks.twilio(SID)).status_code == 401


@pytest.mark.parametrize("path", ["/api/v1", "/api", ""])
@pytest.mark.parametrize("query", ["", "?delivery=01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f", "?a=%20b&c=%C3%B1&a=2"])
async def test_the_path_and_query_as_received_are_signed(hooks: Hooks, path: str, query: str) -> None:
    assert (await hooks.twilio(SID, path=path, query=query)).status_code == 200
    changed = f"{path}/webhooks/twilio/sms/inbound{query}x"
    assert (await hooks.twilio(SID, path=path, query=query, signed_path=changed)).status_code == 401


async def test_a_path_through_an_alias_is_not_signed_as_the_canonical_one(hooks: Hooks) -> None:
    answer = await hooks.twilio(SID, path="", signed_path="/api/v1/webhooks/twilio/sms/inbound")
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/api/v1", "/api", ""])
async def test_builderbot_s_token_may_stand_in_the_url_and_is_not_kept(hooks: Hooks, sql: Sql, path: str) -> None:
    answer = await hooks.builderbot({"event": "x", "data": {"id": "1"}}, path=path, query="?token=bb-token")
    assert answer.status_code == 200
    [row] = await sql("SELECT * FROM webhook_inbox")
    assert "bb-token" not in str(row)


async def test_secrets_are_in_no_log_line(hooks: Hooks, capsys: pytest.CaptureFixture[str]) -> None:
    await hooks.builderbot([{"data": {"id": "1", "from": "5491155551234", "body": "geheim"}}], query="?token=bb-token")
    await hooks.builderbot([], query="?token=bb-tokem")
    await hooks.twilio(SID, query="?token=tw-token")
    out = "".join(capsys.readouterr())
    assert "request.finished" in out
    for word in ("bb-toke", "tw-token", "5491155551234", "geheim"):
        assert word not in out


async def test_a_flood_of_forgeries_is_limited_and_the_provider_is_not(make_api: MakeApi, sql: Sql) -> None:
    hooks = Hooks(await make_api(rate_limit_max=5))
    hooks.use()
    codes = [(await hooks.elevenlabs({"id": n}, secret="x")).status_code for n in range(8)]
    assert codes == [401] * 5 + [429] * 3
    assert len(await rejections(sql)) == 5
    assert {(await hooks.elevenlabs({"id": n})).status_code for n in range(20)} == {200}
