"""What happened to a lead."""

from uuid import uuid4

from api_testkit import Api, Sql, assert_problem, make_lead


async def test_the_newest_is_first_and_says_who_did_it(api: Api) -> None:
    agent = await api.client_for("SALES_AGENT")
    owner = agent.headers["x-test-user"]
    lead = await make_lead(api)
    await agent.patch(f"/api/v1/leads/{lead['id']}", json={"status": "contacted", "ownerId": owner})
    items = (await agent.get(f"/api/v1/leads/{lead['id']}/timeline")).json()["data"]
    assert {item["type"] for item in items[:2]} == {"status_changed", "owner_changed"}
    assert items[2]["type"] == "created"
    assert items[2]["actor"] == "key:root"
    changed = next(item for item in items if item["type"] == "status_changed")
    assert changed["data"] == {"from": "new", "to": "contacted"}
    assert changed["actor"] == f"user:{owner}"


async def test_a_walk_shows_everything_once(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    for number in range(25):
        await sql(
            "INSERT INTO lead_events (id, lead_id, type, data) VALUES (gen_random_uuid(), %s, 'noted', %s)",
            lead["id"],
            f'{{"n": {number}}}',
        )
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get(f"/api/v1/leads/{lead['id']}/timeline", params={"limit": 7, "cursor": cursor})).json()
        seen += [item["id"] for item in page["data"]]
        cursor = page["meta"]["nextCursor"]
    assert len(seen) == len(set(seen)) == 26


async def test_unknown_leads_and_broken_cursors_are_refused(api: Api) -> None:
    lead = await make_lead(api)
    assert_problem(await api.get(f"/api/v1/leads/{uuid4()}/timeline"), 404, "lead_not_found")
    assert_problem(await api.get(f"/api/v1/leads/{lead['id']}/timeline?cursor=xx"), 400, "bad_cursor")
