"""Every operation of the OpenAPI document, called by every kind of caller.

The table below says who may call what; it is written out for a person to review against the specification and is not
computed from the code. An operation that is not in it fails the test.
"""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from access_testkit import log_in, make_key
from api_testkit import Api

from contactship_common.models.base import new_id

PUBLIC = "public"  # nobody is asked who they are
OPTIONAL = "optional"  # credentials are looked at if there are any
ANYONE = "anyone"  # any person or machine with good credentials
PEOPLE = "people"  # any person; machines are refused
# Anything else is the scope that a machine needs, or the scopes of which it needs one. ADMIN has all of them, SALES_AGENT has these:
AGENT = {
    "leads:read", "leads:write", "meetings:read", "meetings:write", "ai:run", "conversations:read",
    "conversations:write", "interactions:read", "messages:send",
}  # fmt: skip

TABLE = {
    "GET /": PUBLIC,
    "GET /ping": PUBLIC,
    "GET /health": PUBLIC,
    "GET /health/liveness": PUBLIC,
    "GET /health/readiness": PUBLIC,
    "GET /metrics": PUBLIC,
    "GET /api/v1/workers/health": PUBLIC,
    "POST /api/v1/auth/login": PUBLIC,
    "POST /api/v1/auth/refresh": PUBLIC,
    "POST /api/v1/auth/register": OPTIONAL,
    "GET /api/v1/auth/me": ANYONE,
    "GET /api/v1/auth/profile": ANYONE,
    "POST /api/v1/auth/logout": PEOPLE,
    "POST /api/v1/auth/change-password": PEOPLE,
    "GET /api/v1/users": "admin",
    "POST /api/v1/users": "admin",
    "GET /api/v1/users/{}": "admin",
    "PATCH /api/v1/users/{}": "admin",
    "GET /api/v1/api-keys": "admin",
    "POST /api/v1/api-keys": "admin",
    "DELETE /api/v1/api-keys/{}": "admin",
    "GET /api/v1/audit-logs": "audit:read",
    "GET /api/v1/leads": "leads:read",
    "GET /api/v1/leads/statistics": "leads:read",
    "GET /api/v1/leads/{}": "leads:read",
    "GET /api/v1/leads/{}/timeline": "leads:read",
    "POST /api/v1/leads": "leads:write",
    "PATCH /api/v1/leads/{}": "leads:write",
    "DELETE /api/v1/leads/{}": "leads:admin",
    "POST /api/v1/leads/{}/merge": "leads:admin",
    "POST /api/v1/leads/import": "leads:admin",
    "GET /api/v1/leads/imports/{}": "leads:admin",
    "GET /api/v1/leads/imports/{}/errors": "leads:admin",
    "GET /api/v1/leads/export": "leads:admin",
    "POST /api/v1/leads/summarize": "ai:run",
    "POST /api/v1/leads/{}/summarize": "ai:run",
    "GET /api/v1/clients": "meetings:read",
    "GET /api/v1/clients/{}": "meetings:read",
    "POST /api/v1/clients": "meetings:write",
    "PATCH /api/v1/clients/{}": "meetings:write",
    "DELETE /api/v1/clients/{}": "meetings:write",
    "GET /api/v1/sellers": "meetings:read",
    "GET /api/v1/sellers/active": "meetings:read",
    "GET /api/v1/sellers/{}": "meetings:read",
    "POST /api/v1/sellers": "leads:admin",
    "PUT /api/v1/sellers/{}": "leads:admin",
    "PATCH /api/v1/sellers/{}": "leads:admin",
    "DELETE /api/v1/sellers/{}": "leads:admin",
    "GET /api/v1/meetings": "meetings:read",
    "GET /api/v1/meetings/{}": "meetings:read",
    "POST /api/v1/meetings": "meetings:write",
    "PATCH /api/v1/meetings/{}": "meetings:write",
    "PATCH /api/v1/meetings/{}/close": "meetings:write",
    "DELETE /api/v1/meetings/{}": "meetings:write",
    "POST /api/v1/workers/classify/{}": "ai:run",
    "POST /api/v1/workers/classify/batch": "ai:run",
    "GET /api/v1/workers/batch/{}": ANYONE,
    "GET /api/v1/workers/classification/{}": "meetings:read",
    "DELETE /api/v1/workers/classification/{}": "meetings:write",
    "GET /api/v1/workers/classifications": "meetings:read",
    "GET /api/v1/classifications": "meetings:read",
    "GET /api/v1/classifications/{}": "meetings:read",
    "POST /api/v1/classifications/queue-unclassified": "ai:run",
    "POST /api/v1/seeds/populate": "admin",
    "GET /api/v1/kpis": "meetings:read",
    "GET /api/v1/kpis/overview": "meetings:read",
    "GET /api/v1/kpis/sellers/performance": "meetings:read",
    "GET /api/v1/kpis/meetings/trends": "meetings:read",
    "GET /api/v1/kpis/clients/engagement": "meetings:read",
    "GET /api/v1/kpis/clients/analysis": "meetings:read",
    "GET /api/v1/conversations": "conversations:read",
    "POST /api/v1/conversations": "conversations:write",
    "GET /api/v1/conversations/{}": "conversations:read",
    "PATCH /api/v1/conversations/{}": "conversations:write",
    "POST /api/v1/conversations/{}/assign": "admin",
    "GET /api/v1/conversations/{}/messages": "conversations:read",
    "POST /api/v1/conversations/{}/messages": "conversations:write or messages:inbound",
    "POST /api/v1/conversations/{}/read": "conversations:write",
    "POST /api/v1/conversations/{}/analyze": "ai:run",
    "GET /api/v1/dashboard/metrics": "conversations:read",
    "GET /api/v1/interactions": "interactions:read",
    "GET /api/v1/interactions/metrics": "interactions:read",
    "GET /api/v1/interactions/client/{}": "interactions:read",
    "GET /api/v1/interactions/{}": "interactions:read",
    # Whoever answers customers annotates and closes what was said with them.
    "PATCH /api/v1/interactions/{}": "conversations:write",
    "POST /api/v1/interactions/{}/summarize": "ai:run",
    "POST /api/v1/whatsapp/send": "messages:send",
    "POST /api/v1/sms/send": "messages:send",
    "GET /api/v1/deliveries/{}": "conversations:read or messages:send",
    "POST /api/v1/deliveries/{}/resend": "messages:send",
    "GET /api/v1/webhook-endpoints": "webhooks:manage",
    "POST /api/v1/webhook-endpoints": "webhooks:manage",
    "GET /api/v1/webhook-endpoints/{}": "webhooks:manage",
    "PATCH /api/v1/webhook-endpoints/{}": "webhooks:manage",
    "DELETE /api/v1/webhook-endpoints/{}": "webhooks:manage",
    "POST /api/v1/webhook-endpoints/{}/rotate-secret": "webhooks:manage",
    "POST /api/v1/webhook-endpoints/{}/test": "webhooks:manage",
    "GET /api/v1/webhook-endpoints/{}/deliveries": "webhooks:manage",
    "POST /api/v1/webhook-endpoints/{}/redeliver-failed": "webhooks:manage",
    "GET /api/v1/webhook-endpoints/{}/deliveries/{}": "webhooks:manage",
    "POST /api/v1/webhook-endpoints/{}/deliveries/{}/redeliver": "webhooks:manage",
    "POST /api/v1/otp": "otp:send",
    "POST /api/v1/otp/verify": "otp:send",
    # What counts is the signature or the token; without a secret they are 404.
    "POST /api/v1/webhooks/elevenlabs/call": PUBLIC,
    "POST /api/v1/webhooks/builderbot/whatsapp": PUBLIC,
    "POST /api/v1/webhooks/twilio/sms/status": PUBLIC,
    "POST /api/v1/webhooks/twilio/sms/inbound": PUBLIC,
    "GET /api/v1/webhooks/inbox": "admin",
    "GET /api/v1/webhooks/inbox/{}": "admin",
    "POST /api/v1/webhooks/inbox/{}/replay": "admin",
    "POST /api/v1/sync/trigger": "sync:run",
    "GET /api/v1/sync/jobs": "sync:run",
    "GET /api/v1/sync/jobs/{}": "sync:run",
    "GET /api/v1/sync/sources": "sync:run",
    # Everybody sees their own tasks and those about what they may read; others are 404.
    "GET /api/v1/tasks": ANYONE,
    "GET /api/v1/tasks/{}": ANYONE,
    "GET /api/v1/tasks/batches/{}": ANYONE,
    "DELETE /api/v1/tasks/{}": ANYONE,
    "POST /api/v1/tasks/{}/retry": ANYONE,
    "GET /api/v1/workers/stats": "tasks:read",
    "GET /api/v1/ai/usage": "ai:run",
    "GET /api/v1/ai/quality": "ai:run",
    # The rights to the subject of the feedback are asked for, whatever it is.
    "POST /api/v1/ai/feedback": ANYONE,
}
UNDOCUMENTED = {"/api/docs", "/api/docs/assets", "/api/openapi.json"}

SECRET = "secret-of-the-tests-0123456789abcdefghij"
NOTHING_HAS_THIS_ID = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"
NO_SCOPE = {PUBLIC, OPTIONAL, ANYONE, PEOPLE}
SCOPES = sorted({scope for need in TABLE.values() for scope in need.split(" or ")} - NO_SCOPE)


def refused_to(scopes: set[str]) -> dict[str, str]:
    """The operations that a caller with these scopes is refused."""
    return {o: "forbidden" for o, need in TABLE.items() if need not in NO_SCOPE and not scopes & {*need.split(" or ")}}


def parts(path: str) -> str:
    """`/leads/{lead_id}` → `/leads/{}`."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


_document: dict[str, Any] = {}


async def document_of(api: Api) -> dict[str, Any]:
    """Operation → what the document says about it. The same for every test, and a second's work to make."""
    if not _document:
        paths = (await api.anonymous.get("/api/openapi.json")).json()["paths"]
        for path, operations in paths.items():
            _document.update({f"{method.upper()} {parts(path)}": told for method, told in operations.items()})
    return _document


async def call(client: httpx.AsyncClient, operation: str) -> httpx.Response:
    method, path = operation.split(" ")
    body = {} if method in ("POST", "PATCH", "PUT") else None
    return await client.request(method, path.replace("{}", NOTHING_HAS_THIS_ID), json=body)


def in_order() -> list[str]:
    """Logout last: it ends the caller's own login."""
    return sorted(TABLE, key=lambda operation: (operation.endswith("/logout"), operation))


def refusal(answer: httpx.Response) -> str:
    """The code of a refusal for want of rights; empty for every other answer."""
    code = answer.json()["code"] if answer.status_code in (401, 403) else ""
    # A login without a body that fits is no matter of rights.
    return "" if code in ("invalid_login", "invalid_refresh_token") else str(code)


async def walk(api: Api, client: httpx.AsyncClient, expected: dict[str, str], *, only: Any = TABLE) -> None:
    """Call every operation, or `only` these; `expected` says which refusal each gets, the others are let in."""
    document = await document_of(api)
    wrong = {}
    for operation in (each for each in in_order() if each in only):
        answer = await call(client, operation)
        told, wanted = refusal(answer), expected.get(operation, "")
        if told != wanted or str(answer.status_code) not in document[operation]["responses"]:
            wrong[operation] = f"{answer.status_code} {told or 'let in'}, not {wanted or 'let in'}"
        if answer.status_code == 401 and not answer.headers["www-authenticate"].startswith("Bearer"):
            wrong[operation] = "a 401 without WWW-Authenticate"
    assert wrong == {}


async def new_agent(api: Api, role: str = "SALES_AGENT") -> str:
    email = f"{new_id().hex}@example.com"
    await api.make_user(email, role)
    return email


async def change(api: Api, statement: str, subject: str) -> None:
    async with await psycopg.AsyncConnection.connect(api.database_url, autocommit=True) as connection:
        changed = await connection.execute(statement.encode(), (subject,))
        assert changed.rowcount == 1


async def test_the_table_is_complete(module_api: Api) -> None:
    assert set(TABLE) == set(await document_of(module_api)), "say in TABLE who may call a new operation"


async def test_nothing_is_served_besides_what_is_documented(module_api: Api) -> None:
    paths = {getattr(route, "path", "") for route in module_api.app.routes}
    hidden = {path for path in paths if path} - set(module_api.app.openapi()["paths"])
    assert hidden <= UNDOCUMENTED, hidden


async def test_the_document_says_which_operations_need_credentials(module_api: Api) -> None:
    told = {operation: entry.get("security", []) for operation, entry in (await document_of(module_api)).items()}
    either = [{"Bearer": []}, {"ApiKey": []}]
    expected = {PUBLIC: [], OPTIONAL: [*either, {}]}
    assert told == {operation: expected.get(need, either) for operation, need in TABLE.items()}


async def test_without_credentials_only_the_public_operations_answer(module_api: Api) -> None:
    await walk(
        module_api,
        module_api.anonymous,
        {o: "unauthenticated" for o, n in TABLE.items() if n not in (PUBLIC, OPTIONAL)},
    )


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def by_hand(header: dict[str, Any], claims: dict[str, Any], key: str = "", digest: str = "sha256") -> str:
    """A token that no library would make. Without a key it is not signed."""
    text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.digest(key.encode(), text.encode(), digest)) if key else ''}"


BAD_TOKENS = [
    "wrong signature", "altered", "alg none", "alg None", "alg missing", "HS512", "HS384",
    "RS256 signed with the secret", "expired", "refresh token", "refresh token as JWT", "promoted in the token",
    "of nobody", "deactivated user", "logged out", "no token", "a JWT of another kind",
]  # fmt: skip


async def bad_token(api: Api, what: str) -> str:
    email = await new_agent(api)
    login = await log_in(api, email)
    good: str = login["token"]
    claims: dict[str, Any] = jwt.decode(good, options={"verify_signature": False})
    header, _, signature = good.split(".")
    if what == "deactivated user":
        await change(api, "UPDATE users SET active = false WHERE email = %s", email)
    if what == "logged out":
        await change(api, "UPDATE token_families SET revoked_at = now() WHERE id = %s", claims["fam"])
    made = {
        "wrong signature": jwt.encode(claims, "x" * 40, algorithm="HS256"),
        "altered": f"{header}.{b64(json.dumps(claims | {'exp': claims['exp'] + 1}).encode())}.{signature}",
        "alg none": by_hand({"alg": "none", "typ": "JWT"}, claims),
        "alg None": by_hand({"alg": "NoNe", "typ": "JWT"}, claims),
        "alg missing": by_hand({"typ": "JWT"}, claims, SECRET),
        "HS512": by_hand({"alg": "HS512", "typ": "JWT"}, claims, SECRET, "sha512"),
        "HS384": by_hand({"alg": "HS384", "typ": "JWT"}, claims, SECRET, "sha384"),
        "RS256 signed with the secret": by_hand({"alg": "RS256", "typ": "JWT"}, claims, SECRET),
        "expired": jwt.encode(claims | {"exp": int(time.time()) - 1}, SECRET, algorithm="HS256"),
        "refresh token": login["refresh_token"],
        "refresh token as JWT": jwt.encode(claims | {"typ": "refresh"}, SECRET, algorithm="HS256"),
        "promoted in the token": jwt.encode(claims | {"role": "ADMIN"}, SECRET, algorithm="HS256"),
        "of nobody": jwt.encode(claims | {"uid": NOTHING_HAS_THIS_ID}, SECRET, algorithm="HS256"),
        "a JWT of another kind": jwt.encode({"sub": email, "exp": claims["exp"]}, SECRET, algorithm="HS256"),
        "no token": "undefined",
    }
    return made.get(what, good)


@pytest.mark.parametrize("what", BAD_TOKENS)
async def test_a_bad_token_opens_nothing(module_api: Api, what: str) -> None:
    client = module_api.client({"authorization": f"Bearer {await bad_token(module_api, what)}"})
    await walk(module_api, client, {o: "unauthenticated" for o, need in TABLE.items() if need != PUBLIC})


@pytest.mark.parametrize("what", ["unknown", "wrong secret", "expired", "deleted", "access token"])
async def test_a_bad_key_opens_nothing(module_api: Api, what: str) -> None:
    made = await make_key(module_api, "admin", "leads:read")
    key: str = made["key"]
    if what == "expired":
        await change(
            module_api, "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = %s", made["id"]
        )
    if what == "deleted":
        await module_api.delete(f"/api/v1/api-keys/{made['id']}")
    if what == "access token":
        key = await module_api.token(await new_agent(module_api, "ADMIN"))
    if what == "wrong secret":
        key = f"{key[:-2]}xx"
    if what == "unknown":
        key = f"csk_{hashlib.md5(b'x').hexdigest()}_{key[-43:]}"
    await walk(
        module_api,
        module_api.client({"x-api-key": key}),
        {o: "unauthenticated" for o, n in TABLE.items() if n != PUBLIC},
    )


async def test_an_admin_may_do_everything(module_api: Api) -> None:
    await walk(module_api, await module_api.client_for("ADMIN"), {})


async def test_a_sales_agent_may_do_what_agents_do_and_no_more(module_api: Api) -> None:
    await walk(module_api, await module_api.client_for("SALES_AGENT"), refused_to(AGENT))


async def test_the_root_key_may_do_everything_but_what_people_do(module_api: Api) -> None:
    await walk(module_api, module_api.root, {"POST /api/v1/auth/logout": "people_only"})


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_with_exactly_a_scope_may_do_what_it_says_and_no_more(module_api: Api, scope: str) -> None:
    refused = refused_to({scope}) | {"POST /api/v1/auth/logout": "people_only"}
    await walk(module_api, module_api.client({"x-api-key": (await make_key(module_api, scope))["key"]}), refused)


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_with_every_other_scope_is_refused(module_api: Api, scope: str) -> None:
    others = [str(name) for name in (await module_api.get("/api/v1/auth/me")).json()["scopes"] if name != scope]
    refused = refused_to({*others})
    # What it is let in to is what the keys with one scope are let in to.
    await walk(
        module_api,
        module_api.client({"x-api-key": (await make_key(module_api, *others))["key"]}),
        refused,
        only=refused,
    )


@pytest.mark.parametrize("claim", ["sub", "email", "uid", "role", "iat", "exp", "jti", "typ"])
async def test_a_token_without_a_required_claim_is_refused(module_api: Api, claim: str) -> None:
    claims = jwt.decode(await module_api.token(await new_agent(module_api)), options={"verify_signature": False})
    del claims[claim]
    client = module_api.client({"authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"})
    assert (await client.get("/api/v1/auth/me")).status_code == 401


@pytest.mark.parametrize(
    "change",
    [{"uid": "1"}, {"uid": 7}, {"uid": None}, {"fam": "x"}, {"fam": 7}, {"exp": "soon"}, {"exp": None},
     {"exp": float("inf")}, {"sub": 7}, {"aud": "others"}, {"nbf": 4_000_000_000}, {"role": ["ADMIN"]},
     {"email": None}],
    ids=str,
)  # fmt: skip
async def test_a_token_with_a_claim_of_another_type_is_refused(module_api: Api, change: dict[str, Any]) -> None:
    claims = (
        jwt.decode(await module_api.token(await new_agent(module_api)), options={"verify_signature": False}) | change
    )
    client = module_api.client({"authorization": f"Bearer {by_hand({'alg': 'HS256', 'typ': 'JWT'}, claims, SECRET)}"})
    assert (await client.get("/api/v1/auth/me")).status_code == 401


@pytest.mark.parametrize(
    "path",
    ["/leads", "/leads/1", "/auth/me", "/auth/profile", "/sync/jobs", "/api/v1/workers/task/1", "//api/v1/leads"],
)
async def test_older_paths_are_no_way_around_it(module_api: Api, path: str) -> None:
    assert (await module_api.anonymous.get(path)).status_code in (401, 404)
    assert (await module_api.anonymous.head(path)).status_code in (401, 404, 405)
