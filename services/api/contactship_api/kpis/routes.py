"""/kpis: paths, status codes, who may call.

The lists of `ClientsAnalysis` are named by the configured categories, so the router is made with them.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_api.access.requires import MeetingsRead
from contactship_api.deps import TheGateway
from contactship_api.gateway import Gateway
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import Out
from contactship_api.kpis import figures, sums
from contactship_api.kpis.calendar import Period, Question
from contactship_api.kpis.errors import RangeReversed, TooManyBuckets
from contactship_api.kpis.parameters import Asked
from contactship_api.kpis.schemas import Engagement, Overview, SellersPerformance, Trends, all_shape, analysis_shape
from contactship_common.cache import read_through
from contactship_common.classification.categories import Category

KPI_CACHE_SECONDS = 15
"""How old an answer may be. DEFAULT_CACHE_TTL=0 switches this off too."""

PeriodQuery = Annotated[Period, Query(description="How long each bucket is. Weeks are those of ISO 8601.")]


@dataclass(frozen=True, slots=True)
class Kpis:
    """The feature, once its shapes are known."""

    router: APIRouter


async def _answer(
    gateway: Gateway, what: str, asked: Question, read: Callable[[AsyncSession], Awaitable[Out]]
) -> Response:
    """What `read` makes of one snapshot, or its copy of the last 15 seconds."""

    async def fresh() -> bytes:
        async with figures.snapshot(gateway.runtime.db) as session:
            return (await read(session)).json_bytes()

    # Texts that mean the same instants share an answer; `now` is what the copy may lag behind.
    key = (what, asked.zone, asked.start, asked.end, asked.seller_id)
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
    ttl_seconds = min(KPI_CACHE_SECONDS, gateway.core.default_cache_ttl)
    body, hit = await read_through(gateway.runtime.redis, f"cs:kpis:{digest}", ttl_seconds, fresh)
    return Response(body, media_type="application/json", headers={"X-Cache": "hit" if hit else "miss"})


def configured(categories: tuple[Category, ...]) -> Kpis:
    """The endpoints, with a list in the analysis for each category that has a `kpi`."""
    router = api_router(prefix="/kpis", tags=["kpis"])
    analysis_out = analysis_shape(categories)
    all_out = all_shape(analysis_out)

    @router.get("", response_model=all_out)
    @raises(RangeReversed, TooManyBuckets)
    async def all_kpis(who: MeetingsRead, gateway: TheGateway, asked: Asked) -> Response:
        """All KPIs of one moment, `generatedAt`; the trends are monthly. Each is described at its own address."""

        async def read(session: AsyncSession) -> Out:
            by_seller = await sums.sellers(session, asked)
            analysed = await figures.analysis(session, asked, by_seller, categories)
            return all_out(
                generated_at=asked.now,
                overview=await figures.overview(session, asked, by_seller),
                sellers_performance=await figures.performance(session, asked, by_seller),
                meetings_trends=await figures.trends(session, asked, Period.MONTHLY),
                clients_engagement=await figures.engagement(session, asked, by_seller),
                clients_analysis=analysis_out(**analysed),
            )

        return await _answer(gateway, "all", asked, read)

    @router.get("/overview", response_model=Overview)
    @raises(RangeReversed)
    async def overview(who: MeetingsRead, gateway: TheGateway, asked: Asked) -> Response:
        """The main numbers.

        `from` and `to` narrow the meetings, their classifications, the conversion rate and the duration; clients and
        sellers are all there are (with `sellerId`: the seller, and the clients they ever met). This month is the
        calendar month of now, last week the Monday to Sunday before this week, both in `tz` and whatever `from` and
        `to` say. Cancelled meetings count.
        """

        async def read(session: AsyncSession) -> Out:
            return await figures.overview(session, asked, await sums.sellers(session, asked))

        return await _answer(gateway, "overview", asked, read)

    @router.get("/sellers/performance", response_model=SellersPerformance)
    @raises(RangeReversed)
    async def sellers_performance(who: MeetingsRead, gateway: TheGateway, asked: Asked) -> Response:
        """Every seller, the best first; sellers without meetings have zeros.

        Ranked by 0.4 · completionRate + 0.6 · averagePositiveSentiment before rounding, ties by name. With `sellerId`
        only that seller is shown, with the place they have among all.
        """

        async def read(session: AsyncSession) -> Out:
            by_seller = await sums.sellers(session, asked)
            return SellersPerformance(data=await figures.performance(session, asked, by_seller))

        return await _answer(gateway, "performance", asked, read)

    @router.get("/meetings/trends", response_model=Trends)
    @raises(RangeReversed, TooManyBuckets)
    async def meetings_trends(
        who: MeetingsRead, gateway: TheGateway, asked: Asked, period: PeriodQuery = Period.MONTHLY
    ) -> Response:
        """Meetings over time, the empty periods too.

        Without `from` it begins with the first meeting, without `to` it ends with the last. A period that `from` or
        `to` cuts through counts the meetings of its part. At most 5,000 periods.
        """

        async def read(session: AsyncSession) -> Out:
            return Trends(data=await figures.trends(session, asked, period))

        return await _answer(gateway, f"trends {period}", asked, read)

    @router.get("/clients/engagement", response_model=Engagement)
    @raises(RangeReversed)
    async def clients_engagement(who: MeetingsRead, gateway: TheGateway, asked: Asked) -> Response:
        """Different clients who had meetings.

        This month, and the last two months of the retention rate (last month and this month), are calendar months of
        `tz` relative to now, whatever `from` and `to` say. Each client counts once in each number.
        """

        async def read(session: AsyncSession) -> Out:
            return await figures.engagement(session, asked, await sums.sellers(session, asked))

        return await _answer(gateway, "engagement", asked, read)

    @router.get("/clients/analysis", response_model=analysis_out)
    @raises(RangeReversed)
    async def clients_analysis(who: MeetingsRead, gateway: TheGateway, asked: Asked) -> Response:
        """What the classifications of the meetings say, people's corrections included.

        Each list has the values that occur, the most frequent first, ties by name; meetings without a value are not
        in it, but are part of what percentages refer to, `totalAnalyzedMeetings`.
        """

        async def read(session: AsyncSession) -> Out:
            by_seller = await sums.sellers(session, asked)
            return analysis_out(**await figures.analysis(session, asked, by_seller, categories))

        return await _answer(gateway, "analysis", asked, read)

    return Kpis(router)
