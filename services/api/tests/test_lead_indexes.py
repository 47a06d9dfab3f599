"""Every filter and every sort of the lists has an index, asked of the planner itself."""

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from api_testkit import Api, seed_leads
from api_testkit.plans import plans_of

from contactship_api.access.permissions import root_key
from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.leads import queries as leads
from contactship_api.leads import timeline
from contactship_api.sync import queries as sync
from contactship_api.tasks import queries as tasks
from contactship_common.models.base import new_id

SOMEBODY = UUID("01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f")
FILTERS: list[dict[str, Any]] = [{}, {"status": "lost"}, {"source": "csv"}, {"owner_id": SOMEBODY}]
SORTS = ["createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name"]


@pytest.fixture(scope="module")
async def seeded(shared_api: Api) -> Api:
    await seed_leads(shared_api.database_url, 3_000, first=1_000_000)
    return shared_api


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("wanted", FILTERS)
async def test_a_page_of_leads_is_read_by_an_index(seeded: Api, wanted: dict[str, Any], sort: str) -> None:
    chosen = leads.LeadFilter(**wanted)

    async def call(session: Any) -> None:
        await leads.page(session, root_key(), chosen, sort=sort, page=1, take=10, timeout_ms=2_000)

    for plan in await plans_of(seeded, call, table="leads"):
        assert "Seq Scan" not in plan, plan
        assert "ix_leads_" in plan or plan.startswith("Aggregate"), plan


@pytest.mark.parametrize("sort", SORTS)
async def test_a_walk_goes_on_from_its_place_without_counting(seeded: Api, sort: str) -> None:
    value = "last5" if "name" in sort else "2026-01-01T00:00:00+00:00"
    cursor = encode_cursor(f"leads:{sort}", value, str(new_id()))
    assert decode_cursor(f"leads:{sort}", cursor, 2)

    async def call(session: Any) -> None:
        chosen = leads.LeadFilter()
        await leads.walk(session, root_key(), chosen, sort=sort, cursor=cursor, take=10, timeout_ms=2_000)

    [plan] = await plans_of(seeded, call, table="leads")
    assert "Index Cond: (ROW(" in plan, plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("wanted", [{}, {"kind": "lead.summary"}, {"status": "queued"}, {"subject_id": SOMEBODY}])
async def test_a_page_of_tasks_is_read_by_an_index(seeded: Api, wanted: dict[str, Any]) -> None:
    async def call(session: Any) -> None:
        chosen = {"kind": None, "status": None, "subject_id": None} | wanted
        await tasks.page(session, root_key(), **chosen, limit=10, cursor=None)

    for plan in await plans_of(seeded, call, table="tasks"):
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan


async def test_runs_their_leads_and_a_timeline_are_read_by_an_index(seeded: Api) -> None:
    cursor = encode_cursor("timeline", "2999-01-01T00:00:00+00:00", str(new_id()))

    async def jobs(session: Any) -> None:
        await sync.page(session, limit=10, cursor=encode_cursor("sync_jobs", str(new_id())))

    async def made(session: Any) -> None:
        await sync.lead_ids(session, SOMEBODY, limit=10, cursor=encode_cursor("sync_job_leads", str(new_id())))

    async def events(session: Any) -> None:
        lead_id = (await session.execute(sa.text("SELECT id FROM leads LIMIT 1"))).scalar_one()
        await timeline.read(session, root_key(), lead_id, limit=10, cursor=cursor)

    for call, table in ((jobs, "sync_jobs"), (made, "sync_job_leads"), (events, "lead_events")):
        [plan] = await plans_of(seeded, call, table=table)
        assert "Index" in plan, plan
        assert "Seq Scan" not in plan, plan
