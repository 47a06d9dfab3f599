"""What can be asked, what is refused, and how the answers look."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_testkit import Api, MakeApi, assert_problem
from kpi_testkit import Crm, at

PATHS = ["", "/overview", "/sellers/performance", "/meetings/trends", "/clients/engagement", "/clients/analysis"]
SOME_ID = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "query",
    [
        "", "from=2024-01-01&to=2024-12-31", "startDate=2024-01-01&endDate=2024-12-31",
        "from=2024-01-01&tz=America/Argentina/Buenos_Aires", "to=2024-06-01T10:07:00Z", f"sellerId={SOME_ID}",
        f"sellerId={SOME_ID}&from=2024-01-01T00:00:00.000001Z&to=2024-01-01", "from=&to=&sellerId=" + SOME_ID,
        "from=2024-01-01&startDate=2024-01-01", "from=9999-12-31&to=9999-12-31&tz=Etc/GMT%2B12",
        "from=0001-01-01&to=0001-01-01&tz=Etc/GMT-14", "from=9999-12-31T23:59:59.999999Z",
        "from=9999-12-31T23:59:59.999999Z&to=9999-12-31T23:59:59.999999Z", "from=2024-01-01T10:00:00Z&to=2024-01-01",
        "from=2011-12-30&to=2011-12-30&tz=Pacific/Apia",
    ],
)  # fmt: skip
async def test_every_endpoint_answers_on_an_empty_database(shared_api: Api, path: str, query: str) -> None:
    answer = await shared_api.get(f"/api/v1/kpis{path}?{query}")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("query", "where", "code"),
    [
        ("tz=Mars/Olympus", "query.tz", "unknown_time_zone"),
        ("tz=../etc/passwd", "query.tz", "unknown_time_zone"),
        ("tz=America", "query.tz", "unknown_time_zone"),
        ("tz=europe/madrid", "query.tz", "unknown_time_zone"),
        ("tz=localtime", "query.tz", "unknown_time_zone"),
        ("from=2024-02-30", "query.from", "date_parsing"),
        ("from=yesterday", "query.from", "date_parsing"),
        ("from=1700000000", "query.from", "date_parsing"),
        ("to=2024-01-01T25:00:00Z", "query.to", "date_parsing"),
        ("to=2024-13-01", "query.to", "date_parsing"),
        ("endDate=0000-00-00", "query.endDate", "date_parsing"),
        ("startDate=2024-1-1", "query.startDate", "date_parsing"),
        ("from=2024-01-01&startDate=2024-01-02", "query.startDate", "conflicting_synonyms"),
        ("to=2024-01-01&endDate=2024-01-02", "query.endDate", "conflicting_synonyms"),
        ("sellerId=7", "query.sellerId", "uuid_parsing"),
        ("fromDate=2024-01-01", "query.fromDate", "extra_forbidden"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused(
    shared_api: Api, path: str, query: str, where: str, code: str | None
) -> None:
    problem = assert_problem(await shared_api.get(f"/api/v1/kpis{path}?{query}"), 422, "validation_failed")
    assert [error["path"] for error in problem["errors"]] == [where]
    if code is not None:
        assert problem["errors"][0]["code"] == code


@pytest.mark.parametrize("path", PATHS)
async def test_a_range_that_ends_before_it_begins_is_refused(shared_api: Api, path: str) -> None:
    query = "from=2024-01-02&to=2024-01-01"
    assert_problem(await shared_api.get(f"/api/v1/kpis{path}?{query}"), 422, "range_reversed")


async def test_nobody_is_given_more_periods_than_anybody_reads(shared_api: Api) -> None:
    trends = "/api/v1/kpis/meetings/trends"
    answer = await shared_api.get(f"{trends}?period=daily&from=1824-01-01&to=2024-01-01")
    assert_problem(answer, 422, "too_many_buckets")
    assert_problem(await shared_api.get("/api/v1/kpis?from=0001-01-01&to=9999-12-31"), 422, "too_many_buckets")
    # 13 years and 250 days.
    five_thousand = await shared_api.get(f"{trends}?period=daily&from=2010-01-01&to=2023-09-09")
    assert len(five_thousand.json()["data"]) == 5_000
    assert_problem(
        await shared_api.get(f"{trends}?period=daily&from=2010-01-01&to=2023-09-10"), 422, "too_many_buckets"
    )


async def test_whoever_may_not_read_meetings_reads_no_kpis(shared_api: Api) -> None:
    made = (await shared_api.post("/api/v1/api-keys", json={"name": "leads", "scopes": ["leads:read"]})).json()
    for path in PATHS:
        assert_problem(await shared_api.anonymous.get(f"/api/v1/kpis{path}"), 401)
        assert_problem(await shared_api.client({"x-api-key": made["key"]}).get(f"/api/v1/kpis{path}"), 403)


async def total(client: httpx.AsyncClient, query: str) -> int:
    answer = await client.get(f"/api/v1/kpis/overview?{query}")
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["totalMeetings"]
    return count


async def test_the_whole_of_the_last_day_counts(make_api: MakeApi, crm: Crm) -> None:
    client, seller = await crm.client(), await crm.seller("Luz")
    for text in ("2024-03-14 23:59:59.999999", "2024-03-15 00:00", "2024-03-15 23:59:59.999999", "2024-03-16 00:00"):
        await crm.meeting(client, seller, at(text))
    api = (await make_api(default_cache_ttl=0)).root
    assert await total(api, "from=2024-03-15&to=2024-03-15") == 2
    assert await total(api, "startDate=2024-03-15&endDate=2024-03-16") == 3
    assert await total(api, "to=2024-03-14") == 1
    # In Buenos Aires the 15th is 03:00 to 03:00 UTC.
    assert await total(api, "from=2024-03-15&to=2024-03-15&tz=America/Argentina/Buenos_Aires") == 2
    assert await total(api, "to=2024-03-14&tz=America/Argentina/Buenos_Aires") == 2
    # A time counts up to and with itself; without a zone it is one of `tz`.
    assert await total(api, "from=2024-03-15T00:00:00Z&to=2024-03-16T00:00:00Z") == 3
    assert await total(api, "from=2024-03-14T21:00&to=2024-03-15T21:00&tz=America/Argentina/Buenos_Aires") == 3
    assert await total(api, "from=2024-03-15T01:00:00%2B01:00") == 3


async def test_all_kpis_are_those_of_the_single_endpoints(make_api: MakeApi, crm: Crm) -> None:
    client, seller = await crm.client(), await crm.seller("Luz")
    meeting = await crm.meeting(client, seller, datetime.now(UTC), "closed", 30)
    await crm.classify(meeting, "positive", "0.80", businessSector="retail")
    api = await make_api(default_cache_ttl=0)
    everything = (await api.get("/api/v1/kpis")).json()
    single = {path: (await api.get(f"/api/v1/kpis{path}")).json() for path in PATHS[1:]}
    generated_at = datetime.fromisoformat(everything.pop("generatedAt"))
    assert abs((datetime.now(UTC) - generated_at).total_seconds()) < 60
    assert everything == {
        "overview": single["/overview"],
        "sellersPerformance": single["/sellers/performance"]["data"],
        "meetingsTrends": single["/meetings/trends"]["data"],
        "clientsEngagement": single["/clients/engagement"],
        "clientsAnalysis": single["/clients/analysis"],
    }
    assert single["/overview"]["meetingsThisMonth"] == 1
    assert single["/clients/analysis"]["topSectors"] == [{"value": "retail", "count": 1, "percentage": 100.0}]


async def test_an_answer_may_be_seconds_old_unless_caching_is_off(make_api: MakeApi, crm: Crm) -> None:
    cached, fresh = await make_api(), await make_api(default_cache_ttl=0)
    assert await total(cached.root, "") == 0
    await crm.meeting(await crm.client(), await crm.seller("Luz"), at("2024-03-15 10:00"))
    again = await cached.get("/api/v1/kpis/overview")
    assert (again.json()["totalMeetings"], again.headers["x-cache"]) == (0, "hit")
    assert await total(fresh.root, "") == 1
    # Another question is another answer.
    assert await total(cached.root, "from=2024-01-01") == 1


async def test_the_lists_of_the_analysis_are_named_by_the_configuration(
    make_api: MakeApi, crm: Crm, tmp_path: Path
) -> None:
    file = tmp_path / "categories.yaml"
    categories = [
        {"name": "crop", "about": "What they grow", "kpi": "topCrops", "values": {"soy": "Soy", "corn": "Corn"}},
        {"name": "soil", "about": "Where", "values": {"sand": "Sand"}},
    ]
    file.write_text(json.dumps({"categories": categories}))
    api = await make_api(classification_file=str(file), default_cache_ttl=0)
    meeting = await crm.meeting(await crm.client(), await crm.seller("Luz"), at("2024-03-15 10:00"))
    await crm.classify(meeting, crop="soy", soil="sand")
    assert (await api.get("/api/v1/kpis/clients/analysis")).json() == {
        "totalAnalyzedMeetings": 1,
        "topCrops": [{"value": "soy", "count": 1, "percentage": 100.0}],
    }
    schema: dict[str, Any] = api.app.openapi()["components"]["schemas"]["ClientsAnalysis"]
    assert [*schema["properties"]] == ["totalAnalyzedMeetings", "topCrops"]
