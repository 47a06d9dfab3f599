"""The audit log: its endpoint, and that the database lets nobody change it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from access_testkit import make_key
from api_testkit import Api, assert_problem

from contactship_common.uow import Context, unit_of_work

LIST = "/api/v1/audit-logs"


async def record(
    api: Api, action: str, entity: str = "lead", entity_id: str = "1", actor: str = "user:1", **data: Any
) -> None:
    async with unit_of_work(api.gateway.runtime, Context(actor=actor, ip="10.0.0.1", request_id="r-1")) as uow:
        uow.audit(action, entity, entity_id, **data)


async def actions(api: Api, **query: Any) -> list[str]:
    answer = await api.get(LIST, params=query)
    assert answer.status_code == 200, answer.text
    return [row["action"] for row in answer.json()["data"]]


async def test_a_row_says_who_did_what_when_and_from_where(api: Api) -> None:
    await record(api, "lead.update", fields=["status"])
    [row] = (await api.get(LIST)).json()["data"]
    assert row.pop("id")
    assert row.pop("createdAt").endswith("Z")
    assert row == {
        "actor": "user:1", "action": "lead.update", "entityType": "lead", "entityId": "1", "ip": "10.0.0.1",
        "userAgent": None, "requestId": "r-1", "metadata": {"fields": ["status"]},
    }  # fmt: skip


async def test_it_is_filtered_by_actor_action_entity_and_time(api: Api) -> None:
    await record(api, "a.one", "lead", "1", "user:1")
    await record(api, "a.two", "user", "2", "user:2")
    await record(api, "a.three", "lead", "2", "key:root")
    assert await actions(api) == ["a.three", "a.two", "a.one"]
    assert await actions(api, actor="user:2") == ["a.two"]
    assert await actions(api, action="a.one") == ["a.one"]
    assert await actions(api, entityType="lead") == ["a.three", "a.one"]
    assert await actions(api, entityType="lead", entityId="2") == ["a.three"]
    assert await actions(api, action="a") == []
    now = datetime.now(UTC)
    assert len(await actions(api, **{"from": (now - timedelta(minutes=1)).isoformat()})) == 3
    assert await actions(api, **{"from": (now + timedelta(minutes=1)).isoformat()}) == []
    assert await actions(api, to=(now - timedelta(minutes=1)).isoformat()) == []
    rows = (await api.get(LIST)).json()["data"]
    assert await actions(api, **{"from": rows[1]["createdAt"]}) == ["a.three", "a.two"]
    assert await actions(api, to=rows[1]["createdAt"]) == ["a.one"]


async def test_a_walk_shows_every_row_once_while_new_ones_arrive(api: Api) -> None:
    for n in range(23):
        await record(api, f"a.{n}")
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(LIST, params={"limit": 5, "cursor": cursor})).json()
        seen += [row["action"] for row in page["data"]]
        cursor = page["meta"]["nextCursor"]
        assert page["meta"]["hasNextPage"] is (cursor is not None)
        await record(api, "a.later")
    assert seen == [f"a.{n}" for n in range(22, -1, -1)]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("cursor=broken", 400, "bad_cursor"),
        ("cursor=%00", 422, "validation_failed"),
        ("limit=0", 422, "validation_failed"),
        ("limit=101", 422, "validation_failed"),
        ("from=yesterday", 422, "validation_failed"),
        ("from=2026-01-01T00:00:00", 422, "validation_failed"),
        ("actor=a%20b'", 422, "validation_failed"),
        ("page=1", 422, "validation_failed"),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(api: Api, query: str, status: int, code: str) -> None:
    assert_problem(await api.get(f"{LIST}?{query}"), status, code)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_the_ends_of_the_calendar_are_times_like_any(api: Api, moment: str) -> None:
    assert (await api.get(LIST, params={"from": moment, "to": moment})).status_code in (200, 422)


async def test_phones_and_addresses_are_masked_for_everybody(api: Api) -> None:
    await record(api, "x", note="call +54 11 3456-7890", deep={"list": ["ana.paz@example.com", 7, None]})
    admin = await api.client_for("ADMIN")
    key = api.client({"x-api-key": (await make_key(api, "audit:read", "pii:read"))["key"]})
    for client in (api.root, admin, key):
        [row] = (await client.get(LIST, params={"action": "x"})).json()["data"]
        assert "3456" not in str(row)
        assert "ana.paz" not in str(row)
        assert row["metadata"]["deep"]["list"][1:] == [7, None]


async def test_administrators_and_keys_with_the_right_may_read_it(api: Api) -> None:
    assert (await (await api.client_for("ADMIN")).get(LIST)).status_code == 200
    assert (await api.client({"x-api-key": (await make_key(api, "audit:read"))["key"]}).get(LIST)).status_code == 200
    assert_problem(await (await api.client_for("SALES_AGENT")).get(LIST), 403, "forbidden")
    assert_problem(
        await api.client({"x-api-key": (await make_key(api, "pii:read"))["key"]}).get(LIST), 403, "forbidden"
    )
    assert_problem(await api.anonymous.get(LIST), 401, "unauthenticated")


CHANGES = [
    "UPDATE audit_logs SET actor = 'nobody'",
    "UPDATE audit_logs SET actor = 'nobody' WHERE false",
    "DELETE FROM audit_logs",
    "TRUNCATE audit_logs",
    "TRUNCATE audit_logs CASCADE",
    "INSERT INTO audit_logs SELECT * FROM audit_logs ON CONFLICT (id) DO UPDATE SET actor = 'nobody'",
    "MERGE INTO audit_logs USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
]


@pytest.mark.parametrize("owns_it", [True, False], ids=["owner", "granted everything"])
@pytest.mark.parametrize("change", CHANGES)
async def test_the_database_refuses_every_change_of_it_to_the_applications_role(
    api: Api, database_url: str, sql: Any, change: str, owns_it: bool
) -> None:
    """A superuser, and an owner who first disables the trigger on purpose, can still do it: those are acts of an
    administrator of the database, not of the application, which has no statement for either."""
    await record(api, "lead.create")
    role = f"app_{database_url.rsplit('/', 1)[-1][-20:].partition('?')[0]}"
    await sql(f'CREATE ROLE "{role}"')
    try:
        await sql(f'GRANT ALL ON audit_logs TO "{role}"')
        if owns_it:
            await sql(f'GRANT CREATE ON SCHEMA public TO "{role}"')
            await sql(f'ALTER TABLE audit_logs OWNER TO "{role}"')
        await sql(f'SET ROLE "{role}"')
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            await sql(change)
        await sql(
            "INSERT INTO audit_logs (id, actor, action, data) VALUES (gen_random_uuid(), 'user:1', 'lead.update', '{}')"
        )
        await sql("RESET ROLE")
        rows = await sql("SELECT actor, action FROM audit_logs ORDER BY action")
        assert rows == [
            {"actor": "user:1", "action": "lead.create"},
            {"actor": "user:1", "action": "lead.update"},
        ]
    finally:
        await sql("RESET ROLE")
        await sql(f'REASSIGN OWNED BY "{role}" TO CURRENT_USER')
        await sql(f'DROP OWNED BY "{role}"')
        await sql(f'DROP ROLE "{role}"')
