"""GET /leads: pages, filters, sorts, cursors, totals."""

import asyncio
from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem, make_lead, seed_leads

from contactship_api.http import totals
from contactship_api.http.paging import decode_cursor, encode_cursor

LEADS = "/api/v1/leads"
SORTS = ["createdAt", "-createdAt", "updatedAt", "-updatedAt", "name", "-name"]


async def page(api: Api, **parameters: Any) -> dict[str, Any]:
    answer = await api.get(LEADS, params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def walk(api: Api, **parameters: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        body = await page(api, cursor=cursor, take=100, **parameters)
        assert set(body["meta"]) == {"nextCursor", "hasNextPage", "take"}
        assert body["meta"]["take"] == 100
        rows += body["data"]
        if not body["meta"]["hasNextPage"]:
            assert body["meta"]["nextCursor"] is None
            return rows
        cursor = body["meta"]["nextCursor"]


async def test_an_empty_list_is_an_empty_page(api: Api) -> None:
    assert await page(api) == {
        "data": [],
        "meta": {"total": 0, "page": 1, "take": 10, "totalPages": 0, "totalIsEstimate": False},
    }


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_and_cursors_show_every_row_once_in_one_order(api: Api, sort: str) -> None:
    await seed_leads(api.database_url, 230)
    by_page = [row for n in (1, 2, 3) for row in (await page(api, page=n, take=100, sort=sort))["data"]]
    by_cursor = await walk(api, sort=sort)
    assert [row["id"] for row in by_page] == [row["id"] for row in by_cursor]
    assert len({row["id"] for row in by_page}) == 230
    field = sort.removeprefix("-")
    keys = [
        (" ".join(reversed(row["name"].lower().split(" "))) if field == "name" else row[field], row["id"])
        for row in by_page
    ]
    assert keys == sorted(keys, reverse=sort.startswith("-"))


async def test_the_page_behind_the_last_is_empty(api: Api) -> None:
    await seed_leads(api.database_url, 12)
    body = await page(api, page=3)
    assert (body["data"], body["meta"]["total"], body["meta"]["totalPages"]) == ([], 12, 2)


async def test_limit_is_another_word_for_take(api: Api) -> None:
    await seed_leads(api.database_url, 5)
    assert await page(api, limit=2) == await page(api, take=2) == await page(api, take=2, limit=2)


@pytest.mark.parametrize(
    ("number", "take", "status"),
    [(100, 100, 200), (101, 100, 400), (10_000, 1, 200), (10_001, 1, 400), (1_000_000, 100, 400)],
)
async def test_deep_pages_are_sent_to_the_cursor(shared_api: Api, number: int, take: int, status: int) -> None:
    answer = await shared_api.get(LEADS, params={"page": number, "take": take})
    if status == 400:
        assert "cursor" in assert_problem(answer, 400, "page_too_deep")["detail"]
    else:
        assert answer.status_code == 200


async def test_a_walk_meets_every_old_row_once_while_rows_are_added(api: Api) -> None:
    await seed_leads(api.database_url, 1_000)
    before = {row["id"] for row in await walk(api)}
    assert len(before) == 1_000
    stop = asyncio.Event()

    async def add() -> None:
        while not stop.is_set():
            await make_lead(api)

    adding = asyncio.create_task(add())
    for sort in ("-createdAt", "createdAt", "name"):
        seen = [row["id"] for row in await walk(api, sort=sort)]
        assert len(seen) == len(set(seen))
        assert before <= set(seen)
    stop.set()
    await adding


async def test_a_cursor_of_another_list_or_order_is_400(api: Api) -> None:
    await seed_leads(api.database_url, 30)
    good = (await page(api, cursor="", take=10))["meta"]["nextCursor"]
    tampered = good[:12] + ("A" if good[12] != "A" else "B") + good[13:]
    values = decode_cursor("leads:-createdAt", good, 2)
    forged = [
        encode_cursor("tasks", values[-1]),
        encode_cursor("leads:-createdAt", "not a time", values[-1]),
        encode_cursor("leads:-createdAt", 17, values[-1]),
        encode_cursor("leads:-createdAt", None, values[-1]),
        encode_cursor("leads:-createdAt", values[0], "no id"),
        encode_cursor("leads:-createdAt", values[0], {"a": 1}),
    ]
    for bad in ("x", "%00", "é", "{}", good[:-3], good + "AAAA", tampered, *forged):
        assert_problem(await api.get(LEADS, params={"cursor": bad}), 400, "bad_cursor")
    assert_problem(await api.get(LEADS, params={"cursor": good, "sort": "name"}), 400, "bad_cursor")


async def test_a_walk_goes_on_after_the_longest_name(api: Api) -> None:
    for n in range(3):
        await make_lead(api, firstName="😀" * 250 + str(n), lastName="\U0001f98a" * 255)
    assert len(await walk(api, sort="name")) == 3
    first = await page(api, sort="name", cursor="", take=1)
    second = await page(api, sort="name", cursor=first["meta"]["nextCursor"], take=1)
    assert second["data"][0]["id"] != first["data"][0]["id"]


async def test_filters_narrow_rows_and_totals(api: Api) -> None:
    owner = await api.make_user("owner@example.com")
    mine = await make_lead(api, ownerId=owner, status="lost", source="csv")
    await make_lead(api, status="lost")
    await make_lead(api, source="csv")
    for wanted, count in (
        ({"status": "lost"}, 2),
        ({"source": "csv"}, 2),
        ({"ownerId": owner}, 1),
    ):
        assert (await page(api, **wanted))["meta"]["total"] == count
        assert len(await walk(api, **wanted)) == count
    assert [row["id"] for row in (await page(api, status="lost", source="csv", ownerId=owner))["data"]] == [mine["id"]]


async def test_statistics_count_by_status_and_source(api: Api, sql: Sql) -> None:
    await seed_leads(api.database_url, 30)
    await sql("UPDATE leads SET summary = 's' WHERE status = 'new'")
    assert (await api.get(f"{LEADS}/statistics")).json() == {
        "total": 30, "new": 6, "contacted": 6, "qualified": 6, "converted": 6, "lost": 6,
        "bySource": {"manual": 10, "external_api": 10, "csv": 10, "webhook": 0}, "withSummary": 6,
    }  # fmt: skip


@pytest.mark.parametrize(
    "wanted", [{}, {"status": "new"}, {"source": "csv"}, {"search": "100%: it's \\ _"}, {"search": "seed"}]
)
async def test_past_the_limit_a_total_is_an_estimate_and_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, str]
) -> None:
    await seed_leads(api.database_url, 200)
    monkeypatch.setattr(totals, "EXACT_UP_TO", 20)
    meta = (await page(api, **wanted))["meta"]
    assert meta["totalIsEstimate"] is ("100%" not in wanted.get("search", ""))
    if meta["totalIsEstimate"]:
        assert 20 < meta["total"] <= 400
    owner = await api.make_user("o@example.com")
    for _ in range(22):
        await make_lead(api, ownerId=owner)
    meta = (await page(api, ownerId=owner))["meta"]
    assert meta["totalIsEstimate"]
    assert meta["total"] >= 21
