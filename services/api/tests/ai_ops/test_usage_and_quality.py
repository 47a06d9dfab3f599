"""GET /ai/usage and GET /ai/quality: sums and shares, by hand-computed numbers."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from ai_ops_testkit import FEEDBACK, about, make_call, make_meeting
from api_testkit import Api, Sql, assert_problem, make_lead, run_tasks

USAGE, QUALITY = "/api/v1/ai/usage", "/api/v1/ai/quality"
NOTHING = {
    "calls": 0, "inputTokens": 0, "outputTokens": 0, "costMicroUsd": 0, "costUsd": "0.000000",
    "averageLatencyMs": None, "outcomes": {},
}  # fmt: skip


async def seed(api: Api, sql: Sql) -> None:
    await make_call(api, sql, at="2026-03-01T00:00:00Z", cost_micro_usd=1_500_000, latency_ms=100)
    await make_call(api, sql, at="2026-03-01T23:59:59.999999Z", outcome="invalid", latency_ms=201)
    await make_call(api, sql, at="2026-03-02T00:00:00Z", provider="gemini", model="gemini-2.5-flash", kind="x")
    await make_call(api, sql, at="2026-02-28T23:59:59.999999Z", cost_micro_usd=7)


async def test_days_are_utc_and_the_last_one_counts_whole(api: Api, sql: Sql) -> None:
    await seed(api, sql)
    body = (await api.get(USAGE, params={"from": "2026-03-01", "to": "2026-03-01"})).json()
    assert (body["from"], body["to"]) == ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    sums = {
        "calls": 2, "inputTokens": 200, "outputTokens": 20, "costMicroUsd": 1_500_021, "costUsd": "1.500021",
        "averageLatencyMs": 150.5, "outcomes": {"invalid": 1, "success": 1},
    }  # fmt: skip
    assert body["data"] == [{"day": "2026-03-01", "provider": None, "model": None, "kind": None, **sums}]
    assert body["totals"] == sums


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ("day", [("2026-03-01", None, None, None, 2), ("2026-03-02", None, None, None, 1)]),
        ("model", [(None, "openai", "gpt-4o-mini", None, 2), (None, "gemini", "gemini-2.5-flash", None, 1)]),
        ("kind", [(None, None, None, "lead.summary", 2), (None, None, None, "x", 1)]),
    ],
)  # fmt: skip
async def test_usage_is_grouped_in_order(api: Api, sql: Sql, group_by: str, groups: list[Any]) -> None:
    await seed(api, sql)
    answer = await api.get(USAGE, params={"from": "2026-03-01", "to": "2026-03-02", "groupBy": group_by})
    keys = ("day", "provider", "model", "kind", "calls")
    assert [tuple(row[key] for key in keys) for row in answer.json()["data"]] == groups


async def test_without_a_span_the_last_thirty_days_are_summed(api: Api, sql: Sql) -> None:
    now = datetime.now(UTC)
    for days in (0, 29, 31):
        await make_call(api, sql, at=now - timedelta(days=days))
    assert (await api.get(USAGE)).json()["totals"]["calls"] == 2
    assert (await api.get(USAGE, params={"from": "2020-01-01", "to": "2020-02-01"})).json()["totals"] == NOTHING


async def test_the_budget_says_how_much_of_it_is_spent(api: Api, sql: Sql) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    await make_call(api, sql, at=midnight, cost_micro_usd=1_250_000)
    await make_call(api, sql, at=midnight - timedelta(microseconds=1), cost_micro_usd=9_000_000)
    none = {"dailyUsd": None, "spentTodayUsd": "1.250000", "reached": False}
    assert (await api.get(USAGE)).json()["budget"] == none
    runtime = api.gateway.runtime
    for daily, reached in (("1.25", True), ("1.250001", False)):
        runtime.ai = runtime.ai.model_copy(update={"ai_daily_budget_usd": Decimal(daily)})
        state = (await api.get(USAGE)).json()["budget"]
        assert (state["dailyUsd"], state["reached"]) == (f"{Decimal(daily):.6f}", reached)


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday", "to=2026-13-01", "from=2026-03-02&to=2026-02-01", "groupBy=week", "from=2020-01-01",
        "from=0001-01-01&to=9999-12-31", "group_by=day", "from=2026-03-01T10:00:00", "to=0001-01-01T00:00:00%2B02:00",
    ],
)  # fmt: skip
async def test_a_span_that_makes_no_sense_is_422(shared_api: Api, query: str) -> None:
    assert_problem(await shared_api.get(f"{USAGE}?{query}"), 422, "validation_failed")


@pytest.mark.parametrize("query", ["to=0001-01-02", "from=9999-12-30", "from=9999-12-31T00:00:00Z"])
async def test_the_ends_of_time_hold_nothing(shared_api: Api, query: str) -> None:
    answer = await shared_api.get(f"{USAGE}?{query}")
    assert (answer.status_code, answer.json()["totals"]["calls"]) == (200, 0)


async def judge(client: Any, body: dict[str, Any]) -> None:
    answer = await client.post(FEEDBACK, json=body)
    assert answer.status_code == 201, answer.text


async def test_agreement_counts_the_newest_verdict_of_each_person_on_each_answer(api: Api) -> None:
    people = [await api.client_for("SALES_AGENT") for _ in range(3)]
    meeting = await make_meeting(api, region="asia", sentiment="positive")
    await judge(people[0], about(meeting, "region", "wrong"))
    await judge(people[0], about(meeting, "region", "correct"))
    await judge(people[1], about(meeting, "region", "correct"))
    await judge(people[2], about(meeting, "region", correctedValue="europe"))
    await judge(people[2], about(meeting, "region", "correct"))  # of the correction: says nothing about the model
    await judge(people[2], about(meeting, "sentiment", "correct"))
    other = await make_meeting(api, model="gpt-5", version="2", region="asia")
    await judge(people[0], about(other, "region", correctedValue=None))

    names = {"subjectType": "meeting", "provider": "openai", "prompt": "meeting_classification"}
    mini, five = {"model": "gpt-4o-mini", "promptVersion": "1"}, {"model": "gpt-5", "promptVersion": "2"}
    assert (await api.get(QUALITY)).json() == {
        "data": [
            names | mini | {"field": "region", "verdicts": 3, "correct": 2, "wrong": 1, "agreement": 0.6667,
                            "corrections": 1},
            names | five | {"field": "region", "verdicts": 1, "correct": 0, "wrong": 1, "agreement": 0.0,
                            "corrections": 1},
            names | mini | {"field": "sentiment", "verdicts": 1, "correct": 1, "wrong": 0, "agreement": 1.0,
                            "corrections": 0},
        ]
    }  # fmt: skip


async def test_whoever_corrects_a_correction_back_says_that_the_model_was_right(api: Api) -> None:
    meeting = await make_meeting(api, region="asia", companySize=None)
    for value in ("europe", "asia"):
        await judge(api, about(meeting, "region", correctedValue=value))
    for size in ("large", None):
        await judge(api, about(meeting, "companySize", correctedValue=size))
    rows = (await api.get(QUALITY)).json()["data"]
    assert [(row["field"], row["correct"], row["verdicts"]) for row in rows] == [
        ("companySize", 1, 1),
        ("region", 1, 1),
    ]


async def test_verdicts_are_narrowed_by_subject_and_span(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    await run_tasks(api, (await api.post(f"/api/v1/leads/{lead['id']}/summarize")).json()["taskId"])
    await sql(
        "INSERT INTO lead_events (id, lead_id, type, data) VALUES "
        """(gen_random_uuid(), %s, 'summarized', '{"model": "local-rules"}')""",
        lead["id"],
    )
    await judge(api, {"subjectType": "lead", "subjectId": lead["id"], "field": "summary", "verdict": "correct"})
    await judge(api, about(await make_meeting(api, region="asia"), "region"))

    async def fields(query: str) -> list[str]:
        return [row["field"] for row in (await api.get(f"{QUALITY}?{query}")).json()["data"]]

    assert await fields("") == ["summary", "region"]
    assert await fields("subjectType=lead") == ["summary"]
    assert await fields("subjectType=meeting") == ["region"]
    today = datetime.now(UTC).date()
    assert await fields(f"from={today}&to={today}") == ["summary", "region"]
    assert await fields(f"to={today - timedelta(days=1)}") == []
    assert_problem(await api.get(f"{QUALITY}?subjectType=client"), 422, "validation_failed")
