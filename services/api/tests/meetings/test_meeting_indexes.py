"""Every list of clients, sellers and meetings, and a lead's timeline, is read by an index: asked of the planner."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from api_testkit import Api, seed_leads
from api_testkit.plans import plans_of
from meetings_testkit import NOBODY

from contactship_api.access.permissions import root_key
from contactship_api.clients import queries as clients
from contactship_api.http.paging import encode_cursor
from contactship_api.leads import timeline
from contactship_api.meetings import queries as meetings
from contactship_api.sellers import queries as sellers
from contactship_common.models.base import new_id

_SEED = """
INSERT INTO sellers (id, name, email, active, search_text, name_sort, created_at)
SELECT gen_random_uuid(), 'S' || n, 's' || n || '@example.com', n % 3 > 0, 's' || n, 's' || n % 7,
       now() - make_interval(secs => n % 50) FROM generate_series(1, 400) n;
INSERT INTO clients (id, name, email, lead_id, search_text, name_sort, created_at)
SELECT gen_random_uuid(), 'C' || n, 'c' || n || '@example.com', l.id, 'c' || n, 'c' || n % 97,
       now() - make_interval(secs => n % 50)
  FROM (SELECT id, row_number() OVER () AS n FROM leads LIMIT 3000) l;
INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, created_at)
SELECT gen_random_uuid(), c.id, s.id, now() - make_interval(hours => (n % 900)::int),
       (ARRAY['open', 'closed', 'cancelled'])[1 + n % 3], now() - make_interval(secs => n % 31)
  FROM (SELECT id, row_number() OVER () AS n FROM clients) c
  JOIN (SELECT id, row_number() OVER () AS n FROM sellers) s USING (n);
INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, created_at)
SELECT gen_random_uuid(), client_id, seller_id, meeting_at - make_interval(days => d), status, created_at
  FROM meetings, generate_series(1, 9) d;
ANALYZE leads, clients, sellers, meetings;
"""


@pytest.fixture(scope="module")
async def seeded(shared_api: Api) -> Api:
    await seed_leads(shared_api.database_url, 3_000, first=2_000_000)
    async with await psycopg.AsyncConnection.connect(shared_api.database_url, autocommit=True) as connection:
        await connection.execute(_SEED)
    return shared_api


@pytest.mark.parametrize("sort", ["createdAt", "-createdAt", "name", "-name"])
async def test_a_page_of_clients_and_of_sellers_comes_in_the_order_of_an_index(seeded: Api, sort: str) -> None:
    async def of_clients(session: Any) -> None:
        await clients.page(session, root_key(), search=None, sort=sort, page=1, take=10, timeout_ms=2_000)

    async def of_sellers(session: Any) -> None:
        await sellers.page(session, root_key(), active=True, search=None, sort=sort, page=1, take=10, timeout_ms=2_000)

    for call, table in ((of_clients, "clients"), (of_sellers, "sellers")):
        page, _ = await plans_of(seeded, call)
        column = "name_sort" if "name" in sort else "created_at"
        assert f"ix_{table}_{column}" in page, page
        assert "Sort" not in page, page


@pytest.mark.parametrize("sort", ["meetingAt", "-meetingAt", "createdAt", "-createdAt"])
@pytest.mark.parametrize(
    "wanted",
    [{}, {"client_id": UUID(NOBODY)}, {"seller_id": UUID(NOBODY)}, {"closed": True}, {"classified": False}],
    ids=str,
)
async def test_a_page_of_meetings_is_read_by_an_index(seeded: Api, wanted: dict[str, Any], sort: str) -> None:
    async def call(session: Any) -> None:
        chosen = meetings.MeetingFilter(**wanted)
        await meetings.page(session, root_key(), chosen, sort=sort, page=1, take=10, timeout_ms=2_000)

    page, total = await plans_of(seeded, call)
    assert "ix_meetings_" in page, page
    assert "Seq Scan" not in page, page
    if wanted.keys() & {"client_id", "seller_id"}:
        assert "Seq Scan" not in total, total
    else:
        # The total of a status reads the table, at most as far as totals are exact.
        assert "Sort" not in page, page


async def test_a_timeline_is_read_by_indexes_and_each_part_of_it_is_limited(seeded: Api) -> None:
    cursor = encode_cursor("timeline", "2999-01-01T00:00:00+00:00", str(new_id()))

    async def call(session: Any) -> None:
        found = await session.execute(sa.text("SELECT lead_id FROM clients WHERE lead_id IS NOT NULL LIMIT 1"))
        await timeline.read(session, root_key(), found.scalar_one(), limit=10, cursor=cursor)

    plan = (await plans_of(seeded, call))[-1]
    assert "Seq Scan" not in plan, plan
    for index in ("ix_lead_events_created_at", "ix_clients_lead_id", "ix_meetings_client_id"):
        assert index in plan, plan
    assert plan.count("Limit") > len(timeline.BRANCHES), plan
