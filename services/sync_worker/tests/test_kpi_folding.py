"""The scheduler joins what changes append to the sums of the KPIs."""

import asyncio
from typing import Any

from contactship_common.runtime import Runtime
from contactship_sync_worker.kpis import KpiFolding

SUMS = "SELECT slot, sum(total) AS total, sum(closed) AS closed FROM kpi_slots GROUP BY slot ORDER BY slot"


async def _meetings(sql: Any) -> None:
    await sql(
        "WITH seller AS (INSERT INTO sellers (id, name, email, active, search_text, name_sort)"
        " VALUES (gen_random_uuid(), 'Luz', 'luz@example.com', true, '', '') RETURNING id),"
        " client AS (INSERT INTO clients (id, name, search_text, name_sort)"
        " VALUES (gen_random_uuid(), 'Ana', '', '') RETURNING id)"
        " INSERT INTO meetings (id, client_id, seller_id, meeting_at, status)"
        " SELECT gen_random_uuid(), client.id, seller.id, timestamptz '2024-03-15 10:00Z' + n * interval '1 hour', 'open'"
        " FROM seller, client, generate_series(1, 5) AS n"
    )
    await sql("UPDATE meetings SET status = 'closed' WHERE meeting_at < '2024-03-15 13:00Z'")
    await sql("DELETE FROM meetings WHERE meeting_at = '2024-03-15 15:00Z'")


async def test_folding_leaves_one_row_a_key_and_the_same_sums(runtime: Runtime, sql: Any) -> None:
    await _meetings(sql)
    before = [row for row in await sql(SUMS) if row["total"]]
    # Five slots, two changed, one gone (3 rows fewer, and the one that is nothing now); one seller's day in three rows.
    assert await KpiFolding(runtime).fold() == 6
    assert await sql(SUMS) == before
    assert await sql("SELECT total, closed FROM kpi_slots ORDER BY slot") == [
        {"total": 1, "closed": 1}, {"total": 1, "closed": 1}, {"total": 1, "closed": 0}, {"total": 1, "closed": 0},
    ]  # fmt: skip
    assert await sql("SELECT total, closed FROM kpi_seller_days") == [{"total": 4, "closed": 2}]
    assert await KpiFolding(runtime).fold() == 0


async def test_several_schedulers_may_fold_at_once(runtime: Runtime, sql: Any) -> None:
    await _meetings(sql)
    assert sum(await asyncio.gather(*(KpiFolding(runtime).fold() for _ in range(4)))) == 6
    assert await sql("SELECT total, closed FROM kpi_seller_days") == [{"total": 4, "closed": 2}]
