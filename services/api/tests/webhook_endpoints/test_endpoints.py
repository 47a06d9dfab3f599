"""/webhook-endpoints: who hears of what, and with which secret."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem
from standardwebhooks import Webhook

from contactship_common.models.base import new_id
from contactship_common.outbound import events
from contactship_common.uow import unit_of_work

PATH = "/api/v1/webhook-endpoints"
URL = "https://203.0.114.9/hook"  # a public address: no name has to be looked up
SHOWN = {
    "id", "url", "description", "events", "active", "failingSince", "disabledAt", "disabledReason",
    "previousSecretUntil", "createdBy", "createdAt", "updatedAt",
}  # fmt: skip


async def make(api: Api, *event_types: str, **more: Any) -> dict[str, Any]:
    body = {"url": URL, "events": list(event_types) or ["lead.created"], **more}
    answer = await api.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def publish(api: Api, event_type: str = "lead.created", count: int = 1) -> None:
    async with unit_of_work(api.gateway.runtime) as uow:
        for number in range(count):
            await events.publish(uow, event_type, {"number": number})


async def test_a_secret_is_shown_once_and_fits_the_reference_library(api: Api, sql: Sql) -> None:
    made = await make(api, "lead.created", "otp.verified", description="  Almacén de datos ")
    assert set(made) == SHOWN | {"secret"}
    Webhook(made["secret"])
    assert made["secret"].startswith("whsec_")
    assert (made["url"], made["description"], made["active"]) == (URL, "Almacén de datos", True)
    assert made["events"] == ["lead.created", "otp.verified"]
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert (await api.get(f"{PATH}/{made['id']}")).json() == shown
    assert (await api.get(PATH)).json() == {"data": [shown]}
    for row in await sql("SELECT t::text AS text FROM audit_logs t"):
        assert made["secret"].removeprefix("whsec_") not in row["text"]


async def test_an_idempotency_key_does_not_keep_the_secret(api: Api, sql: Sql) -> None:
    body = {"url": URL, "events": ["lead.created"]}
    answer = await api.post(PATH, json=body, headers={"idempotency-key": "k"})
    assert answer.status_code == 201
    assert await sql("SELECT 1 FROM idempotency_keys") == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"events": []}, "too_short"),
        ({"events": ["lead.exploded"]}, "literal_error"),
        ({"events": ["ping"]}, "literal_error"),
        ({"events": ["lead.created", "lead.created"]}, "duplicate_event"),
        ({"events": None}, "list_type"),
        ({"url": None}, "string_type"),
        ({"url": ""}, "too_short"),
        ({"secret": "whsec_AAAA"}, "extra_forbidden"),
        ({"description": "x" * 256}, "too_long"),
    ],
    ids=str,
)
async def test_a_body_that_does_not_fit_is_refused(api: Api, change: dict[str, Any], code: str) -> None:
    answer = await api.post(PATH, json={"url": URL, "events": ["lead.created"], **change})
    assert_problem(answer, 422, "validation_failed")
    assert answer.json()["errors"][0]["code"] == code


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "https://[fd00::1]/",
     "https://[::ffff:10.0.0.1]/", "https://localhost/", "https://user:pass@203.0.114.9/", "ftp://203.0.114.9/",
     "https://203.0.114.9/#x", "not a url"],
)  # fmt: skip
async def test_urls_that_lead_inside_are_refused_when_made_and_when_changed(api: Api, url: str) -> None:
    assert_problem(await api.post(PATH, json={"url": url, "events": ["lead.created"]}), 422, "url_not_allowed")
    made = await make(api)
    assert_problem(await api.patch(f"{PATH}/{made['id']}", json={"url": url}), 422, "url_not_allowed")
    assert (await api.get(f"{PATH}/{made['id']}")).json()["url"] == URL


async def test_plain_http_is_for_development_only(make_api: MakeApi, api: Api) -> None:
    plain = {"url": URL.replace("https", "http"), "events": ["lead.created"]}
    assert_problem(await api.post(PATH, json=plain), 422, "url_not_allowed")
    development = await make_api(environment="development")
    assert (await development.post(PATH, json=plain)).status_code == 201


async def test_changes_are_made_one_by_one_and_audited(api: Api, sql: Sql) -> None:
    made = await make(api)
    path = f"{PATH}/{made['id']}"
    changed = (await api.patch(path, json={"events": ["lead.updated"], "description": "x"})).json()
    assert (changed["events"], changed["description"], changed["url"]) == (["lead.updated"], "x", URL)
    assert (await api.patch(path, json={"description": None})).json()["description"] is None
    assert_problem(await api.patch(path, json={"url": None}), 422, "validation_failed")
    assert (await api.delete(path)).status_code == 204
    assert_problem(await api.get(path), 404, "webhook_endpoint_not_found")
    assert_problem(await api.delete(path), 404, "webhook_endpoint_not_found")
    actions = [
        row["action"] for row in await sql("SELECT action FROM audit_logs WHERE entity_id = %s ORDER BY id", made["id"])
    ]
    assert actions == [f"webhook_endpoint.{what}" for what in ("create", "update", "update", "delete")]


async def test_unknown_ids_are_not_found_everywhere(api: Api) -> None:
    body = {"rotate-secret": {}, "redeliver-failed": {"since": "2026-01-01T00:00:00Z"}}
    for which in (str(new_id()), "7", "%00"):
        for method, tail in (
            ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate-secret"), ("POST", "/test"),
            ("GET", "/deliveries"), ("POST", "/redeliver-failed"), ("GET", f"/deliveries/{new_id()}"),
            ("POST", f"/deliveries/{new_id()}/redeliver"),
        ):  # fmt: skip
            given = body.get(tail[1:], {}) if method in ("POST", "PATCH") else None
            answer = await api.request(method, f"{PATH}/{which}{tail}", json=given)
            assert answer.status_code == 404, (method, which, tail)


async def test_there_are_fifty_endpoints_at_most_however_many_ask_at_once(api: Api, sql: Sql) -> None:
    for _ in range(47):
        await make(api)
    body = {"url": URL, "events": ["lead.created"]}
    answers = await asyncio.gather(*(api.post(PATH, json=body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 7
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"too_many_webhook_endpoints"}
    assert (await sql("SELECT count(*) AS n FROM webhook_endpoints"))[0]["n"] == 50


async def test_only_endpoints_that_are_on_and_have_subscribed_hear_of_an_event(api: Api, sql: Sql) -> None:
    first = await make(api, "lead.created", "lead.updated")
    await make(api, "lead.updated")
    off = await make(api, "lead.created")
    await api.patch(f"{PATH}/{off['id']}", json={"active": False})
    await publish(api, "lead.created")
    rows = await sql("SELECT endpoint_id, event_type, payload FROM outbound_deliveries")
    assert [(row["endpoint_id"], row["event_type"]) for row in rows] == [(UUID(first["id"]), "lead.created")]


async def test_a_new_secret_comes_beside_the_old_one_or_in_its_place(api: Api, sql: Sql) -> None:
    made = await make(api)
    path = f"{PATH}/{made['id']}/rotate-secret"
    rotated = (await api.post(path, json={"overlapHours": 2})).json()
    assert rotated["secret"] != made["secret"]
    hours = "SELECT extract(epoch FROM previous_secret_until - now()) / 3600 AS h, * FROM webhook_endpoints"
    [row] = await sql(hours)
    assert (row["secret"], row["previous_secret"]) == (rotated["secret"], made["secret"])
    assert 1.9 < row["h"] <= 2
    assert rotated["previousSecretUntil"] is not None
    assert (await api.post(path)).status_code == 200
    [row] = await sql(hours)
    assert row["previous_secret"] == rotated["secret"]
    assert 23.9 < row["h"] <= 24
    at_once = (await api.post(path, json={"overlapHours": 0})).json()
    [row] = await sql(hours)
    assert (row["secret"], row["previous_secret"], row["h"]) == (at_once["secret"], None, None)
    for bad in (-1, 169, 1.5, "2", True):
        assert_problem(await api.post(path, json={"overlapHours": bad}), 422, "validation_failed")
    assert_problem(await api.get(f"{PATH}/{made['id']}/rotate-secret"), 405, "method_not_allowed")


async def test_switching_off_ends_what_waits_and_switching_on_forgets_what_was(api: Api, sql: Sql) -> None:
    made = await make(api)
    path = f"{PATH}/{made['id']}"
    await publish(api, count=3)
    await sql("UPDATE webhook_endpoints SET failing_since = now() - interval '2 days'")
    off = (await api.patch(path, json={"active": False})).json()
    assert (off["active"], off["disabledReason"]) == (False, "by_hand")
    assert off["disabledAt"] is not None
    ended = await sql(
        "SELECT d.status, t.status AS task, t.slot, d.finished_at IS NOT NULL AS finished"
        " FROM outbound_deliveries d JOIN tasks t ON t.subject_id = d.id"
    )
    assert ended == [{"status": "failed", "task": "cancelled", "slot": None, "finished": True}] * 3
    assert_problem(await api.post(f"{path}/test"), 409, "webhook_endpoint_disabled")
    on = (await api.patch(path, json={"active": True})).json()
    assert (on["active"], on["failingSince"], on["disabledAt"], on["disabledReason"]) == (True, None, None, None)


async def test_deleting_an_endpoint_ends_what_waits_for_it_and_nothing_else(api: Api, sql: Sql) -> None:
    made, other = await make(api), await make(api)
    await publish(api)
    assert (await api.delete(f"{PATH}/{made['id']}")).status_code == 204
    rows = await sql("SELECT endpoint_id, status FROM outbound_deliveries")
    assert {str(row["endpoint_id"]): row["status"] for row in rows} == {made["id"]: "failed", other["id"]: "pending"}


async def test_a_new_address_forgets_the_failures_of_the_old_one(api: Api, sql: Sql) -> None:
    made = await make(api)
    await sql("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days'")
    path = f"{PATH}/{made['id']}"
    assert (await api.patch(path, json={"events": ["lead.updated"]})).json()["failingSince"] is not None
    assert (await api.patch(path, json={"url": f"{URL}/2"})).json()["failingSince"] is None


async def test_agents_may_not_look_at_endpoints(api: Api) -> None:
    agent = await api.client_for("SALES_AGENT")
    assert_problem(await agent.get(PATH), 403, "forbidden")
    assert_problem(await agent.post(PATH, json={"url": URL, "events": ["lead.created"]}), 403, "forbidden")
