"""Each formula against numbers worked out by hand. Now is Friday 2024-03-15 12:00 UTC unless a test says otherwise.

The small company of most tests; all times UTC:

    no  client  seller  begins            status     minutes  sentiment  confidence  sector  product
    1   Ana     Luz     2023-12-31 23:30  closed     30       positive   0.90        retail  iris
    2   Ana     Luz     2024-02-10 10:00  open       -        negative   0.50        retail  -
    3   Ana     Luz     2024-03-05 10:00  cancelled  45       -
    4   Beto    Luz     2024-01-15 10:00  closed     60       positive   0.75        mining  iris
    5   Beto    Max     2024-03-04 00:00  closed     20       neutral    0.60        energy  axis
    6   Caro    Max     2024-03-10 23:59  open       -        positive   0.80        retail  axis
    7   Caro    Max     2024-03-11 00:00  open       -        -
    8   Dora    Max     2023-11-01 09:00  closed     25       -

    Eva is a client and Noa a seller without any meeting.
"""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from kpi_testkit import Crm, at

from contactship_api.kpis.calendar import Period, Question
from contactship_api.kpis.rounding import average, percentage, rate

NOW = at("2024-03-15 12:00")


@pytest.fixture
async def company(crm: Crm) -> dict[str, Any]:
    ids: dict[str, Any] = {name: await crm.seller(name) for name in ("Luz", "Max", "Noa")}
    ids |= {name: await crm.client(name) for name in ("Ana", "Beto", "Caro", "Dora", "Eva")}
    one = await crm.meeting(ids["Ana"], ids["Luz"], at("2023-12-31 23:30"), "closed", 30)
    two = await crm.meeting(ids["Ana"], ids["Luz"], at("2024-02-10 10:00"), "open")
    await crm.meeting(ids["Ana"], ids["Luz"], at("2024-03-05 10:00"), "cancelled", 45)
    four = await crm.meeting(ids["Beto"], ids["Luz"], at("2024-01-15 10:00"), "closed", 60)
    five = await crm.meeting(ids["Beto"], ids["Max"], at("2024-03-04 00:00"), "closed", 20)
    six = await crm.meeting(ids["Caro"], ids["Max"], at("2024-03-10 23:59"), "open")
    await crm.meeting(ids["Caro"], ids["Max"], at("2024-03-11 00:00"), "open")
    await crm.meeting(ids["Dora"], ids["Max"], at("2023-11-01 09:00"), "closed", 25)
    await crm.classify(one, "positive", "0.90", businessSector="retail", vambeProduct="iris")
    # What was said before counts no more; neither does history that was never current.
    await crm.classify(two, "positive", "0.95", businessSector="energy", vambeProduct="ads")
    await crm.classify(two, "negative", "0.50", businessSector="retail", vambeProduct=None)
    await crm.classify(two, "positive", "0.95", current=False, businessSector="mining", vambeProduct="ads")
    await crm.classify(four, "positive", "0.75", businessSector="mining", vambeProduct="iris")
    await crm.classify(five, "neutral", "0.60", businessSector="energy", vambeProduct="axis")
    await crm.classify(six, "positive", "0.80", businessSector="retail", vambeProduct="axis")
    return ids


async def test_overview(crm: Crm, company: dict[str, Any]) -> None:
    assert (await crm.kpis(Question(NOW)))["overview"] == {
        "totalClients": 5,
        "totalSellers": 3,
        "totalMeetings": 8,
        "totalClassifications": 5,
        "meetingsThisMonth": 4,  # 3, 5, 6, 7
        "meetingsLastWeek": 3,  # Monday 4 to Sunday 10 March: 3, 5, 6
        "averageConversionRate": 0.5,  # 1, 4, 5, 8 of 8
        "averageMeetingDuration": 36.0,  # (30 + 45 + 60 + 20 + 25) ÷ 5
    }


async def test_overview_of_a_range_keeps_to_this_month_and_last_week(crm: Crm, company: dict[str, Any]) -> None:
    asked = Question(NOW, start=at("2024-01-01"), end=at("2024-03-01"))  # 2 and 4
    assert (await crm.kpis(asked))["overview"] == {
        "totalClients": 5, "totalSellers": 3, "totalMeetings": 2, "totalClassifications": 2, "meetingsThisMonth": 4,
        "meetingsLastWeek": 3, "averageConversionRate": 0.5, "averageMeetingDuration": 60.0,
    }  # fmt: skip


async def test_overview_of_a_seller(crm: Crm, company: dict[str, Any]) -> None:
    assert (await crm.kpis(Question(NOW, seller_id=company["Luz"])))["overview"] == {
        "totalClients": 2,  # Ana, Beto
        "totalSellers": 1,
        "totalMeetings": 4,  # 1, 2, 3, 4
        "totalClassifications": 3,
        "meetingsThisMonth": 1,  # 3
        "meetingsLastWeek": 1,  # 3
        "averageConversionRate": 0.5,
        "averageMeetingDuration": 45.0,  # (30 + 45 + 60) ÷ 3
    }


async def test_sellers_are_ranked_by_completion_and_sentiment(crm: Crm, company: dict[str, Any]) -> None:
    # Luz: 0.4 · 2/4 + 0.6 · 2/3 = 0.6. Max: 0.4 · 2/4 + 0.6 · 1/2 = 0.5. Noa: nothing.
    # Confidence: Luz (0.90 + 0.50 + 0.75) ÷ 3 = 0.71666…, Max (0.60 + 0.80) ÷ 2.
    rows = (await crm.kpis(Question(NOW)))["performance"]
    assert [tuple(row.values()) for row in rows] == [
        (1, company["Luz"], "Luz", 4, 2, 0.5, 0.6667, 3, 0.7167),
        (2, company["Max"], "Max", 4, 2, 0.5, 0.5, 2, 0.7),
        (3, company["Noa"], "Noa", 0, 0, 0.0, 0.0, 0, 0.0),
    ]


async def test_a_seller_asked_for_keeps_the_place_among_all(crm: Crm, company: dict[str, Any]) -> None:
    rows = (await crm.kpis(Question(NOW, seller_id=company["Max"])))["performance"]
    assert [(row["ranking"], row["sellerName"], row["totalMeetings"]) for row in rows] == [(2, "Max", 4)]


async def test_equal_scores_are_ordered_by_name_and_unequal_ones_before_rounding(crm: Crm) -> None:
    client = await crm.client()
    for name, closed, total in (("B", 2, 3), ("A", 2, 3), ("C", 20_001, 30_000)):
        seller = await crm.seller(name)
        await crm.sql(
            "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status) SELECT gen_random_uuid(), %s, %s,"
            " '2024-01-01Z', CASE WHEN n <= %s THEN 'closed' ELSE 'open' END FROM generate_series(1, %s) AS n",
            client, seller, closed, total,
        )  # fmt: skip
    rows = (await crm.kpis(Question(NOW)))["performance"]
    # C: 20001 ÷ 30000 = 0.6667 exactly, a little more than 2 ÷ 3, which is shown as 0.6667 too.
    assert [(row["sellerName"], row["completionRate"]) for row in rows] == [("C", 0.6667), ("A", 0.6667), ("B", 0.6667)]


async def test_monthly_trends_have_the_empty_months_too(crm: Crm, company: dict[str, Any]) -> None:
    rows = (await crm.kpis(Question(NOW)))["trends"]
    assert [tuple(row.values()) for row in rows] == [
        # period, total, completed, open, cancelled, rate, average duration
        ("2023-11", 1, 1, 0, 0, 1.0, 25.0),
        ("2023-12", 1, 1, 0, 0, 1.0, 30.0),
        ("2024-01", 1, 1, 0, 0, 1.0, 60.0),
        ("2024-02", 1, 0, 1, 0, 0.0, None),
        ("2024-03", 4, 1, 2, 1, 0.25, 32.5),  # (45 + 20) ÷ 2
    ]
    rows = (await crm.kpis(Question(NOW, start=at("2023-11-01"), end=at("2024-05-01")), Period.QUARTERLY))["trends"]
    assert [(row["period"], row["totalMeetings"]) for row in rows] == [("2023Q4", 2), ("2024Q1", 6), ("2024Q2", 0)]
    rows = (await crm.kpis(Question(NOW), Period.YEARLY))["trends"]
    assert [(row["period"], row["totalMeetings"]) for row in rows] == [("2023", 2), ("2024", 6)]


async def test_weeks_are_those_of_iso_8601(crm: Crm, company: dict[str, Any]) -> None:
    asked = Question(NOW, start=at("2023-12-31"), end=at("2024-01-16"))
    rows = (await crm.kpis(asked, Period.WEEKLY))["trends"]
    # 2023-12-31 is the Sunday of 2023-W52; 2024-01-01 begins 2024-W01.
    assert [(row["period"], row["totalMeetings"]) for row in rows] == [
        ("2023-W52", 1), ("2024-W01", 0), ("2024-W02", 0), ("2024-W03", 1),
    ]  # fmt: skip


async def test_a_year_end_may_be_in_the_first_week_of_the_next_year(crm: Crm) -> None:
    await crm.meeting(await crm.client(), await crm.seller("Luz"), at("2024-12-30 08:00"))
    assert [row["period"] for row in (await crm.kpis(Question(NOW), Period.WEEKLY))["trends"]] == ["2025-W01"]


async def test_engagement(crm: Crm, company: dict[str, Any]) -> None:
    assert (await crm.kpis(Question(NOW)))["engagement"] == {
        "uniqueClients": 4,  # Eva has no meeting
        "activeClientsThisMonth": 3,  # Ana, Beto, Caro once although she has two
        "averageMeetingsPerClient": 2.0,  # 8 ÷ 4
        "clientsWithPositiveSentiment": 3,  # Ana, Beto, Caro
        "clientsWithNegativeSentiment": 1,  # Ana
        "newClientsThisMonth": 1,  # Caro
        # Earlier than February: Ana, Beto, Dora. Of these in February or March: Ana (both months, counts once), Beto.
        "clientRetentionRate": 0.6667,
    }


async def test_engagement_of_a_seller_in_a_range(crm: Crm, company: dict[str, Any]) -> None:
    asked = Question(NOW, seller_id=company["Max"], start=at("2024-03-11"), end=at("2024-03-12"))
    assert (await crm.kpis(asked))["engagement"] == {
        "uniqueClients": 1,  # Caro, by meeting 7
        "activeClientsThisMonth": 2,  # Beto, Caro
        "averageMeetingsPerClient": 1.0,
        "clientsWithPositiveSentiment": 0,
        "clientsWithNegativeSentiment": 0,
        "newClientsThisMonth": 2,  # Beto was Luz' client before, Max met him in March
        "clientRetentionRate": 0.0,  # Dora did not come back
    }


async def test_analysis(crm: Crm, company: dict[str, Any]) -> None:
    found = (await crm.kpis(Question(NOW)))["analysis"]
    assert found["totalAnalyzedMeetings"] == 5
    assert found["topSectors"] == [
        {"value": "retail", "count": 3, "percentage": 60.0},
        {"value": "energy", "count": 1, "percentage": 20.0},  # a tie: by name
        {"value": "mining", "count": 1, "percentage": 20.0},
    ]
    # Meeting 2 has no product: it is in no entry, but one of the five.
    assert found["topTechnologies"] == [
        {"value": "axis", "count": 2, "percentage": 40.0},
        {"value": "iris", "count": 2, "percentage": 40.0},
    ]
    assert found["topUseCases"] == found["topLeadSources"] == found["topPrimaryPainPoints"] == []
    assert [*found] == [
        "totalAnalyzedMeetings", "topSectors", "topLeadSources", "topTechnologies", "topUseCases",
        "topPrimaryPainPoints",
    ]  # fmt: skip


async def test_without_anything_there_are_zeros_and_no_averages(crm: Crm) -> None:
    assert await crm.kpis(Question(NOW)) == {
        "overview": {
            "totalClients": 0, "totalSellers": 0, "totalMeetings": 0, "totalClassifications": 0,
            "meetingsThisMonth": 0, "meetingsLastWeek": 0, "averageConversionRate": 0.0, "averageMeetingDuration": None,
        },
        "performance": [],
        "trends": [],
        "engagement": {
            "uniqueClients": 0, "activeClientsThisMonth": 0, "averageMeetingsPerClient": 0.0,
            "clientsWithPositiveSentiment": 0, "clientsWithNegativeSentiment": 0, "newClientsThisMonth": 0,
            "clientRetentionRate": 0.0,
        },
        "analysis": {
            "totalAnalyzedMeetings": 0, "topSectors": [], "topLeadSources": [], "topTechnologies": [],
            "topUseCases": [], "topPrimaryPainPoints": [],
        },
    }  # fmt: skip


async def test_an_empty_range_with_both_ends_has_its_periods_as_zeros(crm: Crm) -> None:
    rows = (await crm.kpis(Question(NOW, start=at("2024-02-28"), end=at("2024-03-02")), Period.DAILY))["trends"]
    assert [tuple(row.values()) for row in rows] == [
        (day, 0, 0, 0, 0, 0.0, None) for day in ("2024-02-28", "2024-02-29", "2024-03-01")
    ]


async def test_a_time_zone_moves_meetings_to_other_days_months_and_years(crm: Crm) -> None:
    client, seller = await crm.client(), await crm.seller("Luz")
    await crm.meeting(client, seller, at("2024-01-01 02:59"))  # in Buenos Aires (-3) 2023-12-31 23:59
    await crm.meeting(client, seller, at("2024-01-01 03:00"))  # there 2024-01-01 00:00
    buenos_aires, kathmandu = ZoneInfo("America/Argentina/Buenos_Aires"), ZoneInfo("Asia/Kathmandu")

    async def years(zone: ZoneInfo) -> list[tuple[str, int]]:
        rows = (await crm.kpis(Question(NOW, zone), Period.YEARLY))["trends"]
        return [(row["period"], row["totalMeetings"]) for row in rows]

    assert await years(ZoneInfo("UTC")) == [("2024", 2)]
    assert await years(buenos_aires) == [("2023", 1), ("2024", 1)]
    # Kathmandu is 5 h 45 min ahead: its day begins at 18:15 UTC.
    await crm.meeting(client, seller, at("2023-12-31 18:14"))
    await crm.meeting(client, seller, at("2023-12-31 18:15"))
    assert await years(kathmandu) == [("2023", 1), ("2024", 3)]


async def test_days_with_23_and_25_hours(crm: Crm) -> None:
    client, seller, madrid = await crm.client(), await crm.seller("Luz"), ZoneInfo("Europe/Madrid")
    # Madrid went from +1 to +2 on 2024-03-31: that day is 2024-03-30 23:00 to 2024-03-31 22:00 UTC, 23 hours.
    for text in ("2024-03-30 22:59", "2024-03-30 23:00", "2024-03-31 21:59", "2024-03-31 22:00"):
        await crm.meeting(client, seller, at(text))
    # And back on 2024-10-27: 2024-10-26 22:00 to 2024-10-27 23:00 UTC, 25 hours.
    for text in ("2024-10-26 21:59", "2024-10-26 22:00", "2024-10-27 22:59", "2024-10-27 23:00"):
        await crm.meeting(client, seller, at(text))
    rows = (await crm.kpis(Question(NOW, madrid), Period.DAILY))["trends"]
    assert [(row["period"], row["totalMeetings"]) for row in rows if row["totalMeetings"]] == [
        ("2024-03-30", 1), ("2024-03-31", 2), ("2024-04-01", 1), ("2024-10-26", 1), ("2024-10-27", 2), ("2024-10-28", 1),
    ]  # fmt: skip


async def test_a_day_whose_midnight_was_skipped_begins_when_the_clocks_moved(crm: Crm) -> None:
    # Santiago went from -4 to -3 at 2024-09-08 00:00, which was 01:00 at once: 04:00 UTC.
    client, seller, santiago = await crm.client(), await crm.seller("Luz"), ZoneInfo("America/Santiago")
    await crm.meeting(client, seller, at("2024-09-08 03:59"))
    await crm.meeting(client, seller, at("2024-09-08 04:00"))
    rows = (await crm.kpis(Question(NOW, santiago), Period.DAILY))["trends"]
    assert [(row["period"], row["totalMeetings"]) for row in rows] == [("2024-09-07", 1), ("2024-09-08", 1)]


async def test_a_zone_that_was_no_quarter_of_an_hour_off_is_counted_from_the_meetings(crm: Crm) -> None:
    # Monrovia was 44 min 30 s behind until 1972: 1971-06-02 began at 00:44:30 UTC.
    client, seller, monrovia = await crm.client(), await crm.seller("Luz"), ZoneInfo("Africa/Monrovia")
    await crm.meeting(client, seller, at("1971-06-02 00:44:29"))
    await crm.meeting(client, seller, at("1971-06-02 00:44:30"))
    rows = (await crm.kpis(Question(NOW, monrovia), Period.DAILY))["trends"]
    assert [(row["period"], row["totalMeetings"]) for row in rows] == [("1971-06-01", 1), ("1971-06-02", 1)]


async def test_this_month_and_last_week_are_those_of_the_zone(crm: Crm) -> None:
    client, seller = await crm.client(), await crm.seller("Luz")
    # Now is Monday 2024-04-01 02:00 UTC; in Buenos Aires it is still Sunday 2024-03-31 23:00.
    now, buenos_aires = at("2024-04-01 02:00"), ZoneInfo("America/Argentina/Buenos_Aires")
    await crm.meeting(client, seller, at("2024-03-25 02:59"))  # Sunday 24 there, Monday 25 in UTC
    await crm.meeting(client, seller, at("2024-04-01 03:00"))  # Monday 1 April in both
    in_utc, there = (
        (await crm.kpis(Question(now)))["overview"],
        (await crm.kpis(Question(now, buenos_aires)))["overview"],
    )
    assert (in_utc["meetingsThisMonth"], in_utc["meetingsLastWeek"]) == (1, 1)  # April; 25 to 31 March
    assert (there["meetingsThisMonth"], there["meetingsLastWeek"]) == (1, 1)  # March; 18 to 24 March
    await crm.meeting(client, seller, at("2024-03-18 02:59"))  # Sunday 17 there
    await crm.meeting(client, seller, at("2024-03-18 03:00"))  # Monday 18 there
    assert (await crm.kpis(Question(now, buenos_aires)))["overview"]["meetingsLastWeek"] == 2


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(1, 8, 0.125), (1, 20_000, 0.0001), (1, 20_001, 0.0), (2, 3, 0.6667), (1, 3, 0.3333), (0, 5, 0.0), (5, 5, 1.0),
     (0, 0, 0.0), (20_005, 200_000, 0.1), (10_005, 100_000, 0.1001), (99_995, 100_000, 1.0)],
)  # fmt: skip
def test_rates_are_rounded_half_up_to_four_places(part: int, whole: int, expected: float) -> None:
    # 1 ÷ 20000 = 0.00005 → 0.0001; 20005 ÷ 200000 = 0.100025 → 0.1000; 10005 ÷ 100000 = 0.10005 → 0.1001.
    assert rate(part, whole) == expected


def test_percentages_and_averages_are_rounded_half_up_to_two_places() -> None:
    assert percentage(1, 8) == 12.5
    assert percentage(1, 16) == 6.25
    assert percentage(1, 32) == 3.13  # 3.125
    assert percentage(1, 3) == 33.33
    assert average(1, 8) == 0.13  # 0.125, which banker's rounding makes 0.12
    assert average(5, 2) == 2.5
    assert average(0, 0) is None
