"""Whatever is done to meetings and classifications, by however many at once, the KPIs are those of the rows."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from kpi_testkit import Crm, at, plain

from contactship_api.kpis.calendar import Period, Question
from contactship_common.models.base import new_id

NOW = at("2024-03-15 12:00")
BUENOS_AIRES, KATHMANDU, APIA = (
    ZoneInfo("America/Argentina/Buenos_Aires"),
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("Pacific/Apia"),
)
WRITERS, STEPS = 4, 120


def some_moment(rng: random.Random) -> datetime:
    """Often the edge of an hour, a day or a quarter, in which most mistakes live."""
    moment = at("2023-11-20 00:00") + timedelta(minutes=15 * rng.randrange(96 * 130))
    return moment + rng.choice([timedelta(0), timedelta(0), timedelta(microseconds=-1), timedelta(minutes=7)])


def questions(seller: Any) -> list[tuple[Question, Period]]:
    cut = at("2024-01-10 10:07") + timedelta(microseconds=1)
    return [
        (Question(NOW), Period.MONTHLY),
        (Question(NOW, BUENOS_AIRES), Period.DAILY),
        (Question(NOW, KATHMANDU, cut, at("2024-02-20 23:50")), Period.WEEKLY),
        (Question(NOW, APIA, None, cut), Period.QUARTERLY),
        (Question(NOW, UTC, at("2024-01-01"), None), Period.YEARLY),
        (Question(NOW, UTC, cut, cut + timedelta(hours=3)), Period.DAILY),
        (Question(NOW, BUENOS_AIRES, None, None, seller), Period.WEEKLY),
        (Question(NOW, BUENOS_AIRES, cut, at("2024-03-01 03:00"), seller), Period.MONTHLY),
    ]


async def compare(crm: Crm, seller: Any) -> None:
    for asked, period in questions(seller):
        assert await crm.kpis(asked, period) == await plain(crm, asked, period), asked


LABELS = {
    "businessSector": ["retail", "mining", None], "leadSource": ["seo", "email"], "vambeProduct": ["iris", None],
    "useCase": ["lead_scoring"], "primaryPainPoint": ["high_churn", "scalability"], "region": ["asia"],
}  # fmt: skip


class Writer:
    """Does random things, on the same few meetings as the others."""

    def __init__(self, crm: Crm, rng: random.Random, sellers: list[Any], clients: list[Any]) -> None:
        self.crm, self.rng, self.sellers, self.clients = crm, rng, sellers, clients

    async def some_meeting(self) -> Any:
        rows = await self.crm.sql("SELECT id FROM meetings ORDER BY id")
        return self.rng.choice(rows)["id"] if rows else new_id()

    async def step(self) -> None:
        rng, sql = self.rng, self.crm.sql
        what = rng.choices(
            ["add", "add many", "classify", "reclassify", "correct", "move", "change", "touch", "unclassify", "delete",
             "delete client", "fold", "both at once"],
            [12, 3, 12, 6, 6, 6, 6, 3, 3, 4, 1, 3, 4],
        )[0]  # fmt: skip
        meeting = await self.some_meeting()
        status, minutes = rng.choice(["open", "closed", "cancelled"]), rng.choice([None, 1, 30, 45])
        sentiment, confidence = rng.choice(["positive", "neutral", "negative"]), rng.choice(["0.10", "0.55", "0.95"])
        labels = {name: rng.choice(values) for name, values in LABELS.items()}
        client, seller = rng.choice(self.clients), rng.choice(self.sellers)
        if what == "add":
            await self.crm.meeting(client, seller, some_moment(rng), status, minutes)
        elif what == "add many":
            await sql(
                "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status) SELECT gen_random_uuid(), %s, %s,"
                " %s::timestamptz + n * interval '7 hours', %s FROM generate_series(1, 20) AS n",
                client, seller, some_moment(rng), status,
            )  # fmt: skip
        elif what in ("classify", "reclassify"):
            await self.crm.classify(meeting, sentiment, confidence, **labels)
        elif what == "correct":
            await sql(
                "UPDATE meeting_classifications SET sentiment = %s, labels = labels || '{\"leadSource\": \"pr\"}'"
                " WHERE meeting_id = %s AND is_current", sentiment, meeting,
            )  # fmt: skip
        elif what == "move":
            await sql(
                "UPDATE meetings SET meeting_at = %s, seller_id = %s WHERE id = %s", some_moment(rng), seller, meeting
            )
        elif what == "change":
            await sql(
                "UPDATE meetings SET status = %s, duration_minutes = %s, client_id = %s WHERE id >= %s AND id IN"
                " (SELECT id FROM meetings WHERE id >= %s ORDER BY id LIMIT 3)", status, minutes, client, meeting, meeting,
            )  # fmt: skip
        elif what == "touch":
            await sql("UPDATE meetings SET transcript = 'x', updated_at = now() WHERE id = %s", meeting)
        elif what == "unclassify":
            if rng.random() < 0.5:
                await sql("UPDATE meeting_classifications SET is_current = false WHERE meeting_id = %s", meeting)
            else:
                await sql("DELETE FROM meeting_classifications WHERE meeting_id = %s", meeting)
        elif what == "delete":
            await sql("DELETE FROM meetings WHERE id = %s", meeting)
        elif what == "delete client":
            await sql("DELETE FROM meetings WHERE client_id = %s", client)
        elif what == "fold":
            await sql("SELECT kpi_fold()")
        elif what == "both at once":
            await sql(
                "WITH made AS (INSERT INTO meetings (id, client_id, seller_id, meeting_at, status)"
                " VALUES (gen_random_uuid(), %s, %s, %s, %s) RETURNING id)"
                " INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language,"
                " lost_client_bad_meeting, sentiment, confidence_score, key_topics, action_items, next_steps, summary,"
                " answer, corrected_fields, provider, model_used, prompt_version, processing_time_ms)"
                " SELECT gen_random_uuid(), id, true, '{\"useCase\": \"lead_scoring\"}', false, 'es', false, %s, 0.5,"
                " '[]', '[]', '', '', '{}', '[]', '', '', '', 0 FROM made",
                client, seller, some_moment(rng), status, sentiment,
            )  # fmt: skip

    async def work(self, steps: int, **allowed: Any) -> int:
        done = 0
        for _ in range(steps):
            try:
                await self.step()
                done += 1
            except (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation):
                pass  # two classified the same meeting, or it was deleted meanwhile: an answer as good as any
        return done


async def a_crm(crm: Crm) -> tuple[list[Any], list[Any]]:
    return [await crm.seller(f"Seller {n}") for n in range(4)], [await crm.client() for _ in range(12)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_hundreds_of_random_changes_the_figures_are_those_of_the_rows(crm: Crm, seed: int) -> None:
    sellers, clients = await a_crm(crm)
    writer = Writer(crm, random.Random(seed), sellers, clients)
    for _ in range(6):
        assert await writer.work(50) > 35
        await compare(crm, sellers[0])


async def test_parallel_writers_of_the_same_meetings_leave_the_figures_right(crm: Crm, database_url: str) -> None:
    sellers, clients = await a_crm(crm)

    async def writing(seed: int) -> int:
        async with Crm.open(database_url, crm.db) as own:
            return await Writer(own, random.Random(seed), sellers, clients).work(STEPS)

    done = await asyncio.gather(*(writing(seed) for seed in range(WRITERS)))
    assert sum(done) > WRITERS * STEPS * 0.6
    await compare(crm, sellers[0])
    await crm.sql("SELECT kpi_fold()")
    await compare(crm, sellers[0])
    before = await crm.sql("SELECT * FROM kpi_meetings ORDER BY meeting_id")
    await crm.sql("SELECT kpi_rebuild()")
    assert await crm.sql("SELECT * FROM kpi_meetings ORDER BY meeting_id") == before
    await compare(crm, sellers[0])
