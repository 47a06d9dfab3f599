"""The KPIs: what is divided by what. Takes a session, a question and what "now" is; rounds at the very end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_api.kpis import client_sums, sums
from contactship_api.kpis.calendar import Period, Question, after, buckets
from contactship_api.kpis.rounding import average, percentage, rate
from contactship_api.kpis.schemas import Engagement, Overview, SellerPerformance, Share, Trend
from contactship_api.kpis.sums import SellerSums
from contactship_common.classification.categories import Category
from contactship_common.db import Database

BySeller = dict[UUID, SellerSums]


@asynccontextmanager
async def snapshot(db: Database) -> AsyncIterator[AsyncSession]:
    """A session whose statements all see the same moment."""
    async with db.reading() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        # Compiling a plan costs more than these statements do.
        await session.execute(sa.text("SET LOCAL jit = off"))
        yield session


def _counted(asked: Question, by_seller: BySeller) -> SellerSums:
    if asked.seller_id is not None:
        return by_seller.get(asked.seller_id, SellerSums())
    return sum(by_seller.values(), SellerSums())


async def overview(session: AsyncSession, asked: Question, by_seller: BySeller) -> Overview:
    counted = _counted(asked, by_seller)
    names = await sums.seller_names(session)
    return Overview(
        total_clients=await sums.count_clients(session, asked),
        total_sellers=sum(asked.seller_id in (None, seller_id) for seller_id, _ in names),
        total_meetings=counted.total,
        total_classifications=counted.classified,
        meetings_this_month=await sums.meetings_between(session, asked, *asked.month()),
        meetings_last_week=await sums.meetings_between(session, asked, *asked.last_week()),
        average_conversion_rate=rate(counted.closed, counted.total),
        average_meeting_duration=average(counted.minutes, counted.timed),
    )


def _score(of: SellerSums) -> Fraction:
    """0.4 · completion rate + 0.6 · positive sentiment, exactly."""
    completion = Fraction(of.closed, of.total) if of.total else Fraction(0)
    sentiment = Fraction(of.positive, of.classified) if of.classified else Fraction(0)
    return Fraction(2, 5) * completion + Fraction(3, 5) * sentiment


async def performance(session: AsyncSession, asked: Question, by_seller: BySeller) -> list[SellerPerformance]:
    names = await sums.seller_names(session)
    ranked = sorted(
        ((seller_id, name, by_seller.get(seller_id, SellerSums())) for seller_id, name in names),
        key=lambda row: (-_score(row[2]), row[1], row[0]),
    )
    return [
        SellerPerformance(
            ranking=place,
            seller_id=seller_id,
            seller_name=name,
            total_meetings=of.total,
            completed_meetings=of.closed,
            completion_rate=rate(of.closed, of.total),
            average_positive_sentiment=rate(of.positive, of.classified),
            total_classifications=of.classified,
            average_confidence=rate(of.confidence, 100 * of.classified),
        )
        for place, (seller_id, name, of) in enumerate(ranked, 1)
        if asked.seller_id in (None, seller_id)
    ]


async def trends(session: AsyncSession, asked: Question, period: Period) -> list[Trend]:
    """
    Raises:
        TooManyBuckets
    """
    start, end = asked.start, asked.end
    if start is None or end is None:
        there_are = await sums.first_and_last(session, asked)
        if there_are is None:
            return []
        first, last = there_are
        start, end = start or first, end or after(last)
    found = buckets(period, asked.zone, start, end)
    if not found.labels:
        return []
    counted = await sums.by_bucket(session, asked, found, start, end)
    return [
        Trend(
            period=label,
            total_meetings=of.total,
            completed_meetings=of.closed,
            open_meetings=of.total - of.closed - of.cancelled,
            cancelled_meetings=of.cancelled,
            completion_rate=rate(of.closed, of.total),
            average_duration=average(of.minutes, of.timed),
        )
        for label, of in zip(found.labels, counted, strict=True)
    ]


async def engagement(session: AsyncSession, asked: Question, by_seller: BySeller) -> Engagement:
    of = await client_sums.clients(session, asked)
    return Engagement(
        unique_clients=of.met,
        active_clients_this_month=of.active,
        average_meetings_per_client=average(_counted(asked, by_seller).total, of.met) or 0.0,
        clients_with_positive_sentiment=of.positive,
        clients_with_negative_sentiment=of.negative,
        new_clients_this_month=of.new,
        client_retention_rate=rate(of.returned, of.earlier),
    )


async def analysis(
    session: AsyncSession, asked: Question, by_seller: BySeller, categories: tuple[Category, ...]
) -> dict[str, Any]:
    """The fields of `ClientsAnalysis`."""
    kpis = {category.name: category.kpi for category in categories if category.kpi}
    total = _counted(asked, by_seller).classified
    found = await sums.labels(session, asked, [*kpis])
    fields: dict[str, Any] = {
        kpis[name]: [
            Share(value=value, count=count, percentage=percentage(count, total))
            for value, count in sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        for name, values in found.items()
    }
    return {"totalAnalyzedMeetings": total, **fields}
