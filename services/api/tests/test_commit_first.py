"""A commit that fails is never answered with a 2xx, and leaves nothing behind."""

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead, new_lead

LEADS = "/api/v1/leads"
LATE = """
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NULL; END $$
"""
LATE_TRIGGER = """
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON {} DEFERRABLE INITIALLY DEFERRED
   FOR EACH ROW EXECUTE FUNCTION late()
"""
REFUSES = "RAISE SQLSTATE '23514';"
DIES = "PERFORM pg_terminate_backend(pg_backend_pid());"


async def fail_at_commit(sql: Sql, how: str, table: str) -> None:
    await sql(LATE.format(how))
    await sql(LATE_TRIGGER.format(table))


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k"}])
@pytest.mark.parametrize(("how", "status"), [(REFUSES, 422), (DIES, 503)])
async def test_a_lead_whose_commit_fails_is_not_201(
    api: Api, sql: Sql, how: str, status: int, headers: dict[str, str]
) -> None:
    await fail_at_commit(sql, how, "leads")
    assert_problem(await api.post(LEADS, json=new_lead(), headers=headers), status)
    for table in ("leads", "persons", "lead_events", "audit_logs"):
        assert await sql(f"SELECT 1 FROM {table}") == [], table
    assert await sql("SELECT 1 FROM idempotency_keys WHERE status < 300") == []


async def test_a_task_whose_commit_fails_is_not_202(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    await fail_at_commit(sql, DIES, "tasks")
    assert_problem(await api.post(f"{LEADS}/{lead['id']}/summarize"), 503, "database_unavailable")
    assert await sql("SELECT 1 FROM tasks") == []


async def test_a_failed_change_leaves_the_cached_copy_true(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    path = f"{LEADS}/{lead['id']}"
    assert (await api.get(path)).json() == lead
    await fail_at_commit(sql, DIES, "leads")
    assert_problem(await api.patch(path, json={"status": "lost"}), 503)
    assert (await api.get(path)).json() == lead


async def test_an_unexpected_error_is_a_bare_500_with_its_request_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail of ours")

    monkeypatch.setattr("contactship_api.leads.queries.statistics", broken)
    answer = await api.get(f"{LEADS}/statistics", headers={"x-request-id": "mine"})
    assert_problem(answer, 500, "internal_error", not_shown="secret")
    assert answer.headers["x-request-id"] == "mine"
    assert answer.headers["x-content-type-options"] == "nosniff"
