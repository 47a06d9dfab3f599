"""Different clients. They cannot be summed up by day, so they are counted each time, in one walk through an index."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.kpis.calendar import Question
from contactship_api.kpis.sums import AT, Condition, columns_of, of_seller, within
from contactship_common.models import KpiMeeting

# About two thousand rows, of which the middle is near enough; all rows of a small table.
_HALF_OF_CLIENTS = sa.text("""
SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY client_id) FROM kpi_meetings TABLESAMPLE SYSTEM (
    (SELECT least(100, 200000 / greatest(reltuples, 1)) FROM pg_class WHERE oid = CAST('kpi_meetings' AS regclass)))
""")
_MET, _POSITIVE, _NEGATIVE, _EARLIER, _LAST_MONTH, _THIS_MONTH = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True, slots=True)
class ClientSums:
    """Counts of different clients; `earlier` had a meeting before the last two months, `returned` of them came back."""

    met: int
    positive: int
    negative: int
    active: int
    new: int
    earlier: int
    returned: int


async def clients(session: AsyncSession, asked: Question) -> ClientSums:
    """Different clients, counted in one walk through the index that has each client's meetings side by side. What is
    true of a client is the union of what is true of their meetings; one aggregate of bits takes half as long as six
    of truth values."""
    month_start, month_end = asked.month()
    last_month_start, _ = asked.month(ago=1)
    sentiment = col(KpiMeeting.sentiment)
    said = sa.case((sentiment == "positive", _MET + _POSITIVE), (sentiment == "negative", _MET + _NEGATIVE), else_=_MET)
    inside = within(AT, asked.start, asked.end)
    begins = AT
    when = sa.case(
        (begins < last_month_start, _EARLIER),
        (begins < month_start, _LAST_MONTH),
        (begins < month_end, _THIS_MONTH),
        else_=0,
    )
    facts = (sa.case((sa.and_(*inside), said), else_=0) if inside else said).op("|")(when)

    def counted(*part: Condition) -> sa.Select[Any]:
        each = (
            sa.select(sa.func.bit_or(facts, type_=sa.Integer()).label("facts"))
            .where(*of_seller(asked), *part)
            .group_by(col(KpiMeeting.client_id))
            .subquery()
        )

        def those_with(bits: int, *, without: int = 0) -> sa.ColumnElement[int]:
            """Clients with one of these bits and none of the others."""
            conditions = [each.c.facts.op("&")(bits) != 0, *([each.c.facts.op("&")(without) == 0] if without else [])]
            return sa.func.count().filter(*conditions)

        counts = {
            "met": those_with(_MET),
            "positive": those_with(_POSITIVE),
            "negative": those_with(_NEGATIVE),
            "active": those_with(_THIS_MONTH),
            "new": those_with(_THIS_MONTH, without=_EARLIER | _LAST_MONTH),
            "earlier": those_with(_EARLIER),
            # Some of the earlier ones came back: all but those without any meeting since.
            "lost": those_with(_EARLIER, without=_LAST_MONTH | _THIS_MONTH),
        }
        return sa.select(*columns_of(*(count.label(name) for name, count in counts.items()))).select_from(each)

    # PostgreSQL walks through two halves at once where it may; a single walk it would not divide.
    half = None if asked.seller_id else (await session.execute(_HALF_OF_CLIENTS)).scalar_one()
    client_id = col(KpiMeeting.client_id)
    parts = [counted()] if half is None else [counted(client_id < half), counted(client_id >= half)]
    both = sa.union_all(*parts).subquery()
    statement = sa.select(*(sa.func.sum(column) for column in both.c))
    met, positive, negative, active, new, earlier, lost = map(int, (await session.execute(statement)).one())
    return ClientSums(met, positive, negative, active, new, earlier, earlier - lost)
