"""Every filter of the list, the customer's view and the figures are read by an index, asked of the planner itself."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from api_testkit import Api
from api_testkit.plans import plans_of
from interaction_testkit import CUSTOMER

from contactship_api.access.permissions import root_key
from contactship_api.http.paging import encode_cursor
from contactship_api.http.personal_data import PersonalData
from contactship_api.interactions import clients, metrics, queries
from contactship_common.models.base import new_id

SOMEBODY = UUID("01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f")
_SEED = """
INSERT INTO interactions (id, channel, direction, status, started_at, ended_at, from_number, to_number, customer_phone,
                          assigned_agent, ai_handled, provider)
SELECT gen_random_uuid(), (ARRAY['CALL','WHATSAPP','SMS'])[1 + n % 3], (ARRAY['INBOUND','OUTBOUND'])[1 + n % 2],
       (ARRAY['NEW','COMPLETED','ABANDONED','FAILED'])[1 + n % 4], now() - make_interval(mins => n), now(),
       '+54911' || n % 500, '+54922' || n % 500, '+54911' || n % 500, 'agent' || n % 100, true,
       (ARRAY['ELEVENLABS','TWILIO'])[1 + n % 2]
  FROM generate_series(1, 4000) n;
INSERT INTO interaction_events (id, interaction_id, type, provider, idempotency_key, raw, normalized)
SELECT gen_random_uuid(), id, 't', 'TWILIO', id::text, '{}', '{}' FROM interactions;
INSERT INTO call_details (interaction_id, transcript_text) SELECT id, 'hello' FROM interactions;
ANALYZE interactions, interaction_events, call_details;
"""
FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "ix_interactions_started_at"),
    ({"channel": "SMS"}, "ix_interactions_"),
    ({"direction": "INBOUND"}, "ix_interactions_started_at"),
    ({"status": "FAILED"}, "ix_interactions_"),
    ({"provider": "TWILIO"}, "ix_interactions_started_at"),
    ({"from_number": CUSTOMER}, "ix_interactions_from_number"),
    ({"to_number": CUSTOMER}, "ix_interactions_to_number"),
    ({"agent": "agent7"}, "ix_interactions_assigned_agent"),
    ({"lead_id": SOMEBODY}, "ix_interactions_lead_id"),
    ({"since": datetime.now(UTC) - timedelta(hours=1)}, "ix_interactions_started_at"),
    ({"until": datetime.now(UTC) - timedelta(hours=1)}, "ix_interactions_started_at"),
]


@pytest.fixture(scope="module")
async def seeded(shared_api: Api) -> Api:
    async with await psycopg.AsyncConnection.connect(shared_api.database_url, autocommit=True) as connection:
        await connection.execute(_SEED)
    return shared_api


@pytest.mark.parametrize("cursor", [False, True], ids=["first page", "later page"])
@pytest.mark.parametrize(("wanted", "index"), FILTERS)
async def test_a_page_is_read_by_an_index(seeded: Api, wanted: dict[str, Any], index: str, cursor: bool) -> None:
    place = encode_cursor("interactions", datetime.now(UTC).isoformat(), str(new_id())) if cursor else None

    async def call(session: Any) -> None:
        chosen = queries.InteractionFilter(**wanted)
        masked = PersonalData(clear=False)
        await queries.walk(session, chosen, masked, region="", limit=10, cursor=place, timeout_ms=2_000)

    [plan] = await plans_of(seeded, call)
    assert "Seq Scan" not in plan, plan
    assert index in plan, plan
    if index == "ix_interactions_started_at":
        assert "Sort" not in plan, plan


async def test_one_interaction_a_customers_view_and_the_figures_are_read_by_indexes(seeded: Api) -> None:
    masked = PersonalData(clear=False)

    async def one(session: Any) -> None:
        its = (await session.execute(sa.text("SELECT id FROM interactions LIMIT 1"))).scalar_one()
        await queries.find(session, root_key(), its, masked)

    async def customer(session: Any) -> None:
        await clients.view(session, CUSTOMER, masked, region="")

    async def figures(session: Any) -> None:
        now = datetime.now(UTC)
        await metrics.measure(session, now - timedelta(hours=3), now, UTC, "UTC", timeout_ms=2_000)

    for call in (one, customer, figures):
        for plan in await plans_of(seeded, call):
            assert "Seq Scan" not in plan or "LIMIT 1" in plan or plan.startswith("Limit"), plan
