"""The customer's view and the dashboard's figures."""

from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead
from interaction_testkit import BASE, CUSTOMER, OURS, REASON, call, interaction

METRICS = f"{BASE}/metrics"


async def client(api: Api, phone: str, **query: Any) -> dict[str, Any]:
    answer = await api.get(f"{BASE}/client/{phone}", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("written", [CUSTOMER, "5491134567890", "%2B54%209%2011%203456-7890", "+54 9 (11) 3456-7890"])
async def test_a_number_is_told_however_it_is_written(api: Api, sql: Sql, written: str) -> None:
    lead = await make_lead(api, phone=CUSTOMER)
    await interaction(sql, started_at="2026-03-01T10:00:00Z", outcome="RESOLVED")
    await interaction(sql, started_at="2026-03-02T10:00:00Z", status="ABANDONED", direction="OUTBOUND")
    last = await interaction(sql, started_at="2026-03-03T10:00:00Z", channel="SMS", status="IN_PROGRESS")
    await interaction(sql, customer_phone="+34612345678")
    body = await client(api, written)
    assert body.pop("lastInteraction")["id"] == last
    assert body == {
        "phone": "***7890", "leadId": lead["id"], "leadUrl": f"/api/v1/leads/{lead['id']}", "total": 3,
        "byChannel": [
            {"channel": "CALL", "count": 2}, {"channel": "WHATSAPP", "count": 0}, {"channel": "SMS", "count": 1},
        ],
        "inbound": 2, "outbound": 1, "ended": 2, "resolved": 1, "resolvedPercent": 50.0,
        "firstContactAt": "2026-03-01T10:00:00Z", "lastContactAt": "2026-03-03T10:00:00Z",
    }  # fmt: skip
    assert (await client(api, written, **REASON))["phone"] == CUSTOMER


async def test_a_number_that_nobody_knows_has_a_view_of_zeros(api: Api) -> None:
    body = await client(api, "+34612345678")
    assert (body["total"], body["resolvedPercent"], body["lastContactAt"], body["leadId"]) == (0, 0.0, None, None)


@pytest.mark.parametrize(
    "phone", ["x", "123", "1134567890", "+", "+999999999999", "%00", "a" * 5_000, "🙂", "+5491134567890x"]
)
async def test_what_is_no_number_is_refused(shared_api: Api, phone: str) -> None:
    answer = await shared_api.get(f"{BASE}/client/{phone}")
    if phone == "+5491134567890x":
        assert answer.status_code in (200, 422)
    else:
        assert_problem(answer, 422, "phone_invalid")


async def test_nothing_has_happened(api: Api) -> None:
    body = (await api.get(METRICS)).json()
    assert (body["total"], body["abandonedPercent"], body["averageHandlingSec"], body["byHour"]) == (0, 0.0, None, [])
    assert [one["total"] for one in body["byChannel"]] == [0, 0, 0]
    assert [one["hour"] for one in body["byHourOfDay"]] == list(range(24))


async def test_volume_handling_time_and_abandoned_share(api: Api, sql: Sql) -> None:
    for start, end, values in (
        ("2026-03-05T10:05:00Z", "2026-03-05T10:07:00Z", {}),  # 120 s by the clock, 100 s as the provider says
        ("2026-03-05T10:50:00Z", "2026-03-05T10:51:00Z", {}),  # 60 s
        ("2026-03-05T11:00:00Z", "2026-03-05T11:00:30Z", {"status": "ABANDONED"}),
        ("2026-03-05T11:10:00Z", None, {"status": "COMPLETED"}),  # nobody knows how long
        ("2026-03-05T12:00:00Z", None, {"status": "IN_PROGRESS", "channel": "WHATSAPP"}),
        ("2026-03-05T12:30:00Z", "2026-03-05T12:20:00Z", {"channel": "SMS"}),  # clocks that disagree: 0 s
        ("2026-03-06T00:00:00Z", "2026-03-06T01:00:00Z", {}),  # the day after
    ):
        its = await interaction(sql, started_at=start, ended_at=end, to_number=OURS, **values)
        if start == "2026-03-05T10:05:00Z":
            await call(sql, its, duration_sec=100)
    body = (await api.get(METRICS, params={"from": "2026-03-05", "to": "2026-03-05"})).json()
    assert (body["since"], body["until"]) == ("2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z")
    assert (body["total"], body["ended"], body["abandoned"], body["abandonedPercent"]) == (6, 5, 1, 20.0)
    assert (body["handled"], body["averageHandlingSec"]) == (3, 53.3)
    calls, whatsapp, sms = body["byChannel"]
    assert (calls["total"], calls["completed"], calls["averageHandlingSec"], calls["abandonedPercent"]) == (
        4,
        3,
        80.0,
        25.0,
    )
    assert (whatsapp["total"], whatsapp["ended"], whatsapp["averageHandlingSec"]) == (1, 0, None)
    assert (sms["total"], sms["averageHandlingSec"]) == (1, 0.0)
    assert [(one["hour"], one["call"], one["whatsapp"], one["sms"], one["total"]) for one in body["byHour"]] == [
        ("2026-03-05T10:00:00Z", 2, 0, 0, 2), ("2026-03-05T11:00:00Z", 2, 0, 0, 2), ("2026-03-05T12:00:00Z", 0, 1, 1, 2),
    ]  # fmt: skip


async def test_days_and_hours_are_those_of_the_zone(api: Api, sql: Sql) -> None:
    await interaction(sql, started_at="2026-03-06T02:30:00Z")  # 23:30 of the 5th in Buenos Aires, 08:00 in Delhi
    query = {"from": "2026-03-05", "to": "2026-03-05", "tz": "America/Argentina/Buenos_Aires"}
    body = (await api.get(METRICS, params=query)).json()
    assert body["total"] == 1
    assert [one["hour"] for one in body["byHourOfDay"] if one["total"]] == [23]
    body = (await api.get(METRICS, params={"from": "2026-03-06", "to": "2026-03-06", "tz": "Asia/Kolkata"})).json()
    assert [one["hour"] for one in body["byHour"]] == ["2026-03-06T02:30:00Z"]
    assert [one["hour"] for one in body["byHourOfDay"] if one["total"]] == [8]


async def test_the_hour_that_comes_twice_is_two_hours(api: Api, sql: Sql) -> None:
    for minute in ("00:30", "01:30"):  # 02:30 summer time and 02:30 winter time in Madrid
        await interaction(sql, started_at=f"2026-10-25T{minute}:00Z")
    body = (await api.get(METRICS, params={"from": "2026-10-25", "to": "2026-10-25", "tz": "Europe/Madrid"})).json()
    assert [one["hour"] for one in body["byHour"]] == ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]
    assert body["until"] == "2026-10-25T23:00:00Z"
    assert [one["total"] for one in body["byHourOfDay"] if one["total"]] == [2]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("tz=Mars", "unknown_time_zone"), ("tz=../etc/passwd", "unknown_time_zone"), ("tz=utc%27", "unknown_time_zone"),
        ("from=2026-01-02&to=2026-01-01", "span_reversed"), ("from=2026-01-01&to=2026-06-01", "span_too_long"),
        ("from=1990-01-01", "span_too_long"), ("from=soon", "datetime_parsing"), ("to=2026-13-01", "datetime_parsing"),
        ("to=9999-12-31", "datetime_parsing"), ("channel=CALL", "extra_forbidden"),
    ],
)  # fmt: skip
async def test_a_question_that_makes_no_sense_is_refused(shared_api: Api, query: str, code: str) -> None:
    body = assert_problem(await shared_api.get(f"{METRICS}?{query}"), 422, "validation_failed")
    assert body["errors"][0]["code"] == code


@pytest.mark.parametrize(
    "query", ["to=0001-01-01", "from=9999-12-30", "from=9999-12-30&to=9999-12-30", "from=2999-01-01", "from=&to="]
)
async def test_the_ends_of_the_calendar_are_times_like_any(shared_api: Api, query: str) -> None:
    assert (await shared_api.get(f"{METRICS}?{query}")).status_code in (200, 422)
