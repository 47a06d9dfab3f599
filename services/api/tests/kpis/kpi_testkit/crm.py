"""A small CRM written by SQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json

from contactship_api.kpis import figures, sums
from contactship_api.kpis.calendar import Period, Question
from contactship_common.classification.categories import load_categories
from contactship_common.db import Database
from contactship_common.models.base import new_id


def at(text: str) -> datetime:
    """`2024-03-15 12:00` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Crm:
    """Every method is one statement that is committed at once."""

    def __init__(self, connection: psycopg.AsyncConnection[dict[str, Any]], db: Database) -> None:
        self.connection = connection
        self.db = db

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, db: Database) -> AsyncIterator[Self]:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as connection:
            yield cls(connection, db)

    async def sql(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        cursor = await self.connection.execute(statement.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def seller(self, name: str) -> UUID:
        seller_id = new_id()
        await self.sql(
            "INSERT INTO sellers (id, name, email, active, search_text, name_sort) VALUES (%s, %s, %s, true, '', '')",
            seller_id, name, f"{seller_id}@example.com",
        )  # fmt: skip
        return seller_id

    async def client(self, name: str = "A client") -> UUID:
        client_id = new_id()
        await self.sql(
            "INSERT INTO clients (id, name, search_text, name_sort) VALUES (%s, %s, '', '')", client_id, name
        )
        return client_id

    async def meeting(
        self, client: UUID, seller: UUID, when: datetime, status: str = "open", minutes: int | None = None
    ) -> UUID:
        meeting_id = new_id()
        await self.sql(
            "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, duration_minutes)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            meeting_id, client, seller, when, status, minutes,
        )  # fmt: skip
        return meeting_id

    async def classify(
        self,
        meeting: UUID,
        sentiment: str = "neutral",
        confidence: str = "0.50",
        *,
        current: bool = True,
        **labels: Any,
    ) -> UUID:
        """What was current before is history now."""
        classification_id = new_id()
        if current:
            await self.sql(
                "UPDATE meeting_classifications SET is_current = false WHERE is_current AND meeting_id = %s", meeting
            )
        await self.sql(
            "INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language,"
            " lost_client_bad_meeting, sentiment, confidence_score, key_topics, action_items, next_steps, summary,"
            " answer, corrected_fields, provider, model_used, prompt_version, processing_time_ms)"
            " VALUES (%s, %s, %s, %s, false, 'es', false, %s, %s, '[]', '[]', '', '', '{}', '[]', '', '', '', 0)",
            classification_id, meeting, current, Json(labels), sentiment, confidence,
        )  # fmt: skip
        return classification_id

    async def kpis(self, asked: Question, period: Period = Period.MONTHLY) -> dict[str, Any]:
        """All KPIs of one snapshot, by the names of the API."""
        categories = load_categories()
        async with figures.snapshot(self.db) as session:
            by_seller = await sums.sellers(session, asked)
            analysis = await figures.analysis(session, asked, by_seller, categories)
            return {
                "overview": (await figures.overview(session, asked, by_seller)).model_dump(by_alias=True),
                "performance": [
                    row.model_dump(by_alias=True) for row in await figures.performance(session, asked, by_seller)
                ],
                "trends": [row.model_dump(by_alias=True) for row in await figures.trends(session, asked, period)],
                "engagement": (await figures.engagement(session, asked, by_seller)).model_dump(by_alias=True),
                "analysis": {
                    name: [share.model_dump(by_alias=True) for share in value] if isinstance(value, list) else value
                    for name, value in analysis.items()
                },
            }
