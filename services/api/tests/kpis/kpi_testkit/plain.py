"""The KPIs from the rows themselves, as one would write them down on paper: no sums, no SQL, local calendar days."""

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from contactship_api.kpis.calendar import Period, Question
from contactship_common.classification.categories import load_categories
from kpi_testkit.crm import Crm

Row = dict[str, Any]


def _round(part: int, whole: int, places: str, times: int = 1) -> float:
    with localcontext() as context:
        context.prec = 60
        return float((Decimal(part * times) / whole).quantize(Decimal(places), ROUND_HALF_UP)) if whole else 0.0


def _label(day: date, period: Period) -> str:
    week = day.isocalendar()
    return {
        Period.DAILY: f"{day:%Y-%m-%d}",
        Period.WEEKLY: f"{week.year}-W{week.week:02}",
        Period.MONTHLY: f"{day:%Y-%m}",
        Period.QUARTERLY: f"{day.year}Q{-(-day.month // 3)}",
        Period.YEARLY: f"{day.year}",
    }[period]


async def plain(crm: Crm, asked: Question, period: Period = Period.MONTHLY) -> dict[str, Any]:
    meetings = await crm.sql(
        "SELECT m.*, c.sentiment, c.confidence_score, c.labels FROM meetings m"
        " LEFT JOIN meeting_classifications c ON c.meeting_id = m.id AND c.is_current"
    )
    sellers = await crm.sql("SELECT id, name FROM sellers")
    clients = await crm.sql("SELECT count(*) AS n FROM clients")

    def local(moment: datetime) -> date:
        return moment.astimezone(asked.zone).date()

    def mine(row: Row) -> bool:
        return asked.seller_id in (None, row["seller_id"])

    def inside(row: Row) -> bool:
        after_start = asked.start is None or row["meeting_at"] >= asked.start
        return after_start and (asked.end is None or row["meeting_at"] < asked.end)

    today = local(asked.now)
    this_month = (today.year, today.month)
    before = date(*this_month, 1) - timedelta(days=1)
    last_month = (before.year, before.month)

    def month(row: Row) -> tuple[int, int]:
        day = local(row["meeting_at"])
        return (day.year, day.month)

    def last_week(row: Row) -> bool:
        then = local(row["meeting_at"]).isocalendar()
        wanted = (today - timedelta(days=7)).isocalendar()
        return (then.year, then.week) == (wanted.year, wanted.week)

    everything = [row for row in meetings if mine(row)]
    counted = [row for row in everything if inside(row)]

    def count(rows: list[Row], condition: Callable[[Row], bool]) -> int:
        return sum(map(condition, rows))

    def closed(row: Row) -> bool:
        return bool(row["status"] == "closed")

    def duration(rows: list[Row]) -> float | None:
        timed = [row["duration_minutes"] for row in rows if row["duration_minutes"] is not None]
        return _round(sum(timed), len(timed), "0.01") if timed else None

    def who(rows: list[Row]) -> set[Any]:
        return {row["client_id"] for row in rows}

    classified = [row for row in counted if row["sentiment"]]
    ranked = []
    for seller in sellers:
        rows = [row for row in meetings if row["seller_id"] == seller["id"] and inside(row)]
        said = [row for row in rows if row["sentiment"]]
        positive = count(said, lambda row: row["sentiment"] == "positive")
        score = Decimal(4 * count(rows, closed)) / (len(rows) or 1) + Decimal(6 * positive) / (len(said) or 1)
        figures = {
            "sellerId": seller["id"],
            "sellerName": seller["name"],
            "totalMeetings": len(rows),
            "completedMeetings": count(rows, closed),
            "completionRate": _round(count(rows, closed), len(rows), "0.0001"),
            "averagePositiveSentiment": _round(positive, len(said), "0.0001"),
            "totalClassifications": len(said),
            "averageConfidence": _round(
                sum(int(row["confidence_score"] * 100) for row in said), 100 * len(said), "0.0001"
            ),
        }
        ranked.append((-score.quantize(Decimal("1e-15")), seller["name"], seller["id"], figures))
    ranked.sort(key=lambda entry: entry[:3])

    trends = []
    if counted or (asked.start and asked.end):
        start = asked.start or min(row["meeting_at"] for row in counted)
        end = asked.end or max(row["meeting_at"] for row in counted) + timedelta(microseconds=1)
        labels = {}
        day, last = local(start), local(end - timedelta(microseconds=1))
        while start < end and day <= last:
            labels[_label(day, period)] = None
            day += timedelta(days=1)
        for label in labels:
            rows = [row for row in counted if _label(local(row["meeting_at"]), period) == label]
            trends.append(
                {
                    "period": label,
                    "totalMeetings": len(rows),
                    "completedMeetings": count(rows, closed),
                    "openMeetings": count(rows, lambda row: row["status"] == "open"),
                    "cancelledMeetings": count(rows, lambda row: row["status"] == "cancelled"),
                    "completionRate": _round(count(rows, closed), len(rows), "0.0001"),
                    "averageDuration": duration(rows),
                }
            )

    recent = who([row for row in everything if month(row) in (last_month, this_month)])
    earlier = who([row for row in everything if month(row) < last_month])
    active = who([row for row in everything if month(row) == this_month])
    analysis: dict[str, Any] = {"totalAnalyzedMeetings": len(classified)}
    for category in load_categories():
        if category.kpi:
            values = Counter(row["labels"].get(category.name) for row in classified)
            del values[None]
            analysis[category.kpi] = [
                {"value": value, "count": n, "percentage": _round(n, len(classified), "0.01", 100)}
                for value, n in sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
            ]
    return {
        "overview": {
            "totalClients": len(who(everything)) if asked.seller_id else clients[0]["n"],
            "totalSellers": count(sellers, lambda seller: asked.seller_id in (None, seller["id"])),
            "totalMeetings": len(counted),
            "totalClassifications": len(classified),
            "meetingsThisMonth": count(everything, lambda row: month(row) == this_month),
            "meetingsLastWeek": count(everything, last_week),
            "averageConversionRate": _round(count(counted, closed), len(counted), "0.0001"),
            "averageMeetingDuration": duration(counted),
        },
        "performance": [
            {"ranking": place, **entry[3]}
            for place, entry in enumerate(ranked, 1)
            if asked.seller_id in (None, entry[2])
        ],
        "trends": trends,
        "engagement": {
            "uniqueClients": len(who(counted)),
            "activeClientsThisMonth": len(active),
            "averageMeetingsPerClient": _round(len(counted), len(who(counted)), "0.01"),
            "clientsWithPositiveSentiment": len(who([r for r in counted if r["sentiment"] == "positive"])),
            "clientsWithNegativeSentiment": len(who([r for r in counted if r["sentiment"] == "negative"])),
            "newClientsThisMonth": len(active - who([r for r in everything if month(r) < this_month])),
            "clientRetentionRate": _round(len(recent & earlier), len(earlier), "0.0001"),
        },
        "analysis": analysis,
    }
