"""Reads of the sums that the database keeps, and of single meetings where a range cuts through a summed day.

Every function answers with plain counts; what is divided by what stands in `figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.kpis.calendar import LATEST, Buckets, Question
from contactship_common.models import Client, KpiLabelDay, KpiMeeting, KpiSellerDay, KpiSlot, Seller

_SLOT = timedelta(minutes=15)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AT = col(KpiMeeting.meeting_at)

Condition = sa.ColumnElement[bool]
Edge = tuple[datetime | None, datetime | None]


@dataclass(frozen=True, slots=True)
class SellerSums:
    """Counts of one seller's meetings; `minutes` of the `timed` ones, `confidence` in hundredths."""

    total: int = 0
    closed: int = 0
    timed: int = 0
    minutes: int = 0
    classified: int = 0
    positive: int = 0
    confidence: int = 0

    def __add__(self, other: "SellerSums") -> "SellerSums":
        return SellerSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class BucketSums:
    total: int = 0
    closed: int = 0
    cancelled: int = 0
    timed: int = 0
    minutes: int = 0


def within(column: Any, start: Any, end: Any) -> list[Condition]:
    return [*([] if start is None else [column >= start]), *([] if end is None else [column < end])]


def _whole(start: datetime | None, end: datetime | None, step: timedelta) -> tuple[Edge | None, list[Edge]]:
    """The part of [start, end) that consists of whole steps, and what is left at its ends."""
    if start is not None and LATEST - start < step:
        return None, [(start, end)]
    inner_start = None if start is None else start + (_EPOCH - start) % step
    inner_end = None if end is None else end - (end - _EPOCH) % step
    if inner_start is not None and inner_end is not None and inner_start >= inner_end:
        return None, [(start, end)]
    edges: list[Edge] = []
    if start != inner_start:
        edges.append((start, inner_start))
    if end != inner_end:
        edges.append((inner_end, end))
    return (inner_start, inner_end), edges


def _in_edges(edges: Sequence[Edge]) -> Condition:
    return sa.or_(sa.false(), *(sa.and_(sa.true(), *within(AT, *edge)) for edge in edges))


def columns_of(*columns: Any) -> list[Any]:
    return list(columns)


def _flag(condition: Condition) -> sa.ColumnElement[int]:
    return sa.case((condition, 1), else_=0)


def _utc_days(inner: Edge) -> tuple[date | None, date | None]:
    start, end = inner
    return start.date() if start else None, end.date() if end else None


async def sellers(session: AsyncSession, asked: Question) -> dict[UUID, SellerSums]:
    """The sums of every seller who has a meeting in the range, whoever was asked for."""
    names = [f.name for f in fields(SellerSums)]
    inner, edges = _whole(asked.start, asked.end, _DAY)
    parts: list[sa.Select[Any]] = []
    if inner is not None:
        summed = [sa.func.sum(getattr(KpiSellerDay, name)).label(name) for name in names]
        inside = within(col(KpiSellerDay.day), *_utc_days(inner))
        parts.append(
            sa.select(col(KpiSellerDay.seller_id), *summed).where(*inside).group_by(col(KpiSellerDay.seller_id))
        )
    if edges:
        one: dict[str, sa.ColumnElement[Any]] = {
            "total": sa.func.count(),
            "closed": sa.func.sum(_flag(col(KpiMeeting.status) == "closed")),
            "timed": sa.func.count(col(KpiMeeting.duration_minutes)),
            "minutes": sa.func.coalesce(sa.func.sum(col(KpiMeeting.duration_minutes)), 0),
            # Confidence and sentiment are there exactly when there is a classification, and both are in the index.
            "classified": sa.func.count(col(KpiMeeting.sentiment)),
            "positive": sa.func.sum(_flag(col(KpiMeeting.sentiment) == "positive")),
            "confidence": sa.func.coalesce(sa.func.sum(col(KpiMeeting.confidence)), 0),
        }
        counted = [one[name].label(name) for name in names]
        parts.append(
            sa.select(col(KpiMeeting.seller_id), *counted).where(_in_edges(edges)).group_by(col(KpiMeeting.seller_id))
        )
    found: dict[UUID, SellerSums] = {}
    for part in parts:
        for seller_id, *sums in await session.execute(part):
            found[seller_id] = found.get(seller_id, SellerSums()) + SellerSums(*map(int, sums))
    return found


async def seller_names(session: AsyncSession) -> list[tuple[UUID, str]]:
    """All sellers, the inactive ones too."""
    rows = await session.execute(sa.select(col(Seller.id), col(Seller.name)))
    return [(row[0], row[1]) for row in rows]


async def meetings_between(session: AsyncSession, asked: Question, start: datetime, end: datetime) -> int:
    """Meetings in [start, end), of the seller asked for; `from` and `to` do not count."""
    statement = sa.select(sa.func.count()).select_from(KpiMeeting).where(*of_seller(asked), *within(AT, start, end))
    return int((await session.execute(statement)).scalar_one())


async def count_clients(session: AsyncSession, asked: Question) -> int:
    """All clients, or those who ever met the seller asked for."""
    if asked.seller_id is None:
        statement = sa.select(sa.func.count()).select_from(Client)
    else:
        statement = sa.select(sa.func.count(sa.distinct(col(KpiMeeting.client_id)))).where(*of_seller(asked))
    return int((await session.execute(statement)).scalar_one())


def of_seller(asked: Question) -> list[Condition]:
    return [] if asked.seller_id is None else [col(KpiMeeting.seller_id) == asked.seller_id]


async def first_and_last(session: AsyncSession, asked: Question) -> tuple[datetime, datetime] | None:
    """When the first and the last meeting of the range begin."""
    conditions = [*of_seller(asked), *within(AT, asked.start, asked.end)]
    first, last = (
        sa.select(AT).where(*conditions).order_by(order).limit(1).scalar_subquery() for order in (AT, AT.desc())
    )
    row = (await session.execute(sa.select(first, last))).one()
    return None if row[0] is None else (row[0], row[1])


async def by_bucket(
    session: AsyncSession, asked: Question, buckets: Buckets, start: datetime, end: datetime
) -> list[BucketSums]:
    """The sums of each bucket's meetings in [start, end)."""
    found = [BucketSums() for _ in buckets.starts]
    aligned = all((begins - _EPOCH) % _SLOT == timedelta(0) for begins in buckets.starts)
    # One seller's meetings are fewer than the slots of all; before 1972 some zones were no quarters of an hour apart.
    inner, edges = _whole(start, end, _SLOT) if asked.seller_id is None and aligned else (None, [(start, end)])
    parts: list[sa.Select[Any]] = []
    if inner is not None:
        summed = [sa.func.sum(getattr(KpiSlot, f.name)) for f in fields(BucketSums)]
        bucket = _bucket(col(KpiSlot.slot), buckets)
        parts.append(sa.select(bucket, *summed).where(*within(col(KpiSlot.slot), *inner)).group_by(bucket))
    if edges:
        bucket = _bucket(AT, buckets)
        counted = [
            sa.func.count(),
            sa.func.sum(_flag(col(KpiMeeting.status) == "closed")),
            sa.func.sum(_flag(col(KpiMeeting.status) == "cancelled")),
            sa.func.count(col(KpiMeeting.duration_minutes)),
            sa.func.coalesce(sa.func.sum(col(KpiMeeting.duration_minutes)), 0),
        ]
        parts.append(sa.select(bucket, *counted).where(*of_seller(asked), _in_edges(edges)).group_by(bucket))
    for part in parts:
        for number, *sums in await session.execute(part):
            before = found[number - 1]
            found[number - 1] = BucketSums(
                *(getattr(before, f.name) + int(s) for f, s in zip(fields(BucketSums), sums, strict=True))
            )
    return found


def _bucket(column: Any, buckets: Buckets) -> sa.ColumnElement[int]:
    starts = sa.literal(buckets.starts, sa.ARRAY(sa.DateTime(timezone=True)))
    return sa.func.width_bucket(column, starts, type_=sa.Integer()).label("bucket")


async def labels(session: AsyncSession, asked: Question, categories: list[str]) -> dict[str, dict[str, int]]:
    """For each category, how many meetings of the range have each value."""
    # A seller's meetings are read one by one: sums by seller and value would be as many as the meetings.
    inner, edges = (
        _whole(asked.start, asked.end, _DAY) if asked.seller_id is None else (None, [(asked.start, asked.end)])
    )
    parts: list[sa.Select[Any]] = []
    if inner is not None:
        category, value = col(KpiLabelDay.category), col(KpiLabelDay.value)
        inside = [category.in_(categories), *within(col(KpiLabelDay.day), *_utc_days(inner))]
        parts.append(
            sa.select(*columns_of(category, value, sa.func.sum(col(KpiLabelDay.meetings))))
            .where(*inside)
            .group_by(category, value)
        )
    if edges:
        pair = sa.func.jsonb_each_text(col(KpiMeeting.labels)).table_valued("key", "value").render_derived()
        parts.append(
            sa.select(*columns_of(pair.c.key, pair.c.value, sa.func.count()))
            .select_from(KpiMeeting)
            .join(pair, sa.true())
            .where(*of_seller(asked), _in_edges(edges), pair.c.key.in_(categories), pair.c.value.is_not(None))
            .group_by(pair.c.key, pair.c.value)
        )
    found: dict[str, dict[str, int]] = {category: {} for category in categories}
    for part in parts:
        for category, value, count in await session.execute(part):
            found[category][value] = found[category].get(value, 0) + int(count)
    return {category: {v: n for v, n in values.items() if n} for category, values in found.items()}
