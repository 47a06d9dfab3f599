"""Shapes of /kpis. Rates are 0..1 with 4 places, averages have 2, percentages are 0..100 with 2; all are rounded half
up."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, create_model

from contactship_api.http.schemas import Out, UtcTime
from contactship_common.classification.categories import Category

Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1, examples=[0.625])]


class Overview(Out):
    total_clients: Count
    total_sellers: Count
    total_meetings: Count
    total_classifications: Count
    meetings_this_month: Count
    meetings_last_week: Count
    average_conversion_rate: Annotated[Rate, Field(description="Closed ÷ all meetings.")]
    average_meeting_duration: Annotated[
        float | None, Field(description="Minutes, of the meetings that have a duration; null when none has.")
    ]


class SellerPerformance(Out):
    ranking: Annotated[int, Field(ge=1, description="1 is the best of all sellers, also when one is asked for.")]
    seller_id: UUID
    seller_name: str
    total_meetings: Count
    completed_meetings: Count
    completion_rate: Rate
    average_positive_sentiment: Annotated[Rate, Field(description="Positive ÷ classified meetings.")]
    total_classifications: Count
    average_confidence: Rate


class SellersPerformance(Out):
    data: list[SellerPerformance]


class Trend(Out):
    period: Annotated[str, Field(examples=["2024-03", "2024-03-15", "2024-W11", "2024Q1", "2024"])]
    total_meetings: Count
    completed_meetings: Count
    open_meetings: Count
    cancelled_meetings: Count
    completion_rate: Rate
    average_duration: float | None


class Trends(Out):
    data: list[Trend]


class Engagement(Out):
    unique_clients: Count
    active_clients_this_month: Count
    average_meetings_per_client: Annotated[float, Field(ge=0)]
    clients_with_positive_sentiment: Count
    clients_with_negative_sentiment: Count
    new_clients_this_month: Annotated[Count, Field(description="Clients whose first meeting is in this month.")]
    client_retention_rate: Annotated[
        Rate,
        Field(
            description="Of the clients with a meeting before last month, those with one in last month or this month."
        ),
    ]


class Share(Out):
    value: str
    count: Count
    percentage: Annotated[float, Field(ge=0, le=100, description="Of totalAnalyzedMeetings.", examples=[12.5])]


class Analysis(Out):
    """How often each value of a category was said; which categories there are is configuration."""

    total_analyzed_meetings: Annotated[Count, Field(description="Meetings that have a classification.")]


class AllKpis(Out):
    generated_at: UtcTime
    overview: Overview
    sellers_performance: list[SellerPerformance]
    meetings_trends: list[Trend]
    clients_engagement: Engagement


def analysis_shape(categories: tuple[Category, ...]) -> type[Analysis]:
    """`ClientsAnalysis` with a list for each category that is counted."""
    lists: dict[str, Any] = {
        category.kpi: (list[Share], Field(alias=category.kpi, description=f"Meetings by {category.name}."))
        for category in categories
        if category.kpi
    }
    shape: type[Analysis] = create_model("ClientsAnalysis", __base__=Analysis, __doc__=Analysis.__doc__, **lists)
    return shape


def all_shape(analysis: type[Analysis]) -> type[AllKpis]:
    """`AllKpis` with that analysis in it."""
    shape: type[AllKpis] = create_model("Kpis", __base__=AllKpis, clients_analysis=(analysis, ...))
    return shape
