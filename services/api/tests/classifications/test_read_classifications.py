"""Reading classifications: current ones, their history, and a list with every category as a filter."""

from pathlib import Path
from typing import Any

import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem
from classification_testkit import classify, make_meeting, make_meetings

from contactship_api.access.permissions import root_key
from contactship_api.classifications import queries
from contactship_api.classifications.schemas import ListQuery
from contactship_common.classification.categories import load_categories

LIST = "/api/v1/classifications"
CURRENT = "/api/v1/workers/classification"
CATEGORIES = load_categories()
KEYS = {
    "meetingId", "clientId", "sellerId", "meetingAt", "urgency", "language", "lostClientBadMeeting", "sentiment",
    "confidenceScore", "keyTopics", "actionItems", "nextSteps", "summary", "correctedFields", "outdated", "provider",
    "modelUsed", "promptVersion", "processedAt", "processingTimeMs", *(c.name for c in CATEGORIES),
}  # fmt: skip


async def ids(api: Api, **filters: Any) -> list[str]:
    answer = await api.get(LIST, params=filters)
    assert answer.status_code == 200, answer.text
    assert answer.json()["meta"]["total"] == len(answer.json()["data"])
    assert (await api.get("/api/v1/workers/classifications", params=filters)).json() == answer.json()
    return [row["meetingId"] for row in answer.json()["data"]]


async def test_every_key_is_there_and_unknown_categories_are_null(api: Api) -> None:
    meeting_id = await make_meeting(api)
    await classify(api, meeting_id, labels={"useCase": "lead_scoring", "region": "no_longer_a_value", "gone": "x"})
    body = (await api.get(f"{CURRENT}/{meeting_id}")).json()
    assert set(body) == KEYS
    assert (body["useCase"], body["region"], body["businessSector"]) == ("lead_scoring", None, None)
    assert body["confidenceScore"] == 0.8
    detail = (await api.get(f"{LIST}/{meeting_id}")).json()
    assert detail == body | {"history": []}


async def test_history_holds_earlier_results_newest_first(api: Api) -> None:
    meeting_id = await make_meeting(api)
    for sentiment in ("negative", "neutral", "positive"):
        await classify(api, meeting_id, sentiment=sentiment)
    body = (await api.get(f"{LIST}/{meeting_id}")).json()
    assert body["sentiment"] == "positive"
    assert [row["sentiment"] for row in body["history"]] == ["neutral", "negative"]
    assert all(set(row) == KEYS for row in body["history"])


async def test_a_deleted_classification_is_gone_until_the_next_which_shows_it_in_its_history(
    api: Api, sql: Sql
) -> None:
    meeting_id = await make_meeting(api)
    await classify(api, meeting_id, sentiment="negative")
    assert (await api.delete(f"{CURRENT}/{meeting_id}")).status_code == 204
    for path in (f"{CURRENT}/{meeting_id}", f"{LIST}/{meeting_id}"):
        assert_problem(await api.get(path), 404, "classification_not_found")
    assert_problem(await api.delete(f"{CURRENT}/{meeting_id}"), 404, "classification_not_found")
    assert await ids(api) == []
    assert (await api.post(f"/api/v1/workers/classify/{meeting_id}")).status_code == 202
    await classify(api, meeting_id)
    assert [row["sentiment"] for row in (await api.get(f"{LIST}/{meeting_id}")).json()["history"]] == ["negative"]
    assert len(await sql("SELECT 1 FROM audit_logs WHERE action = 'classification.delete'")) == 1


@pytest.mark.parametrize("unknown", ["01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f", "no-id"])
async def test_an_unknown_meeting_is_404(shared_api: Api, unknown: str) -> None:
    for path in (f"{CURRENT}/{unknown}", f"{LIST}/{unknown}"):
        assert_problem(await shared_api.get(path), 404)
    assert_problem(await shared_api.delete(f"{CURRENT}/{unknown}"), 404)


class TestFilters:
    async def test_every_category_and_every_fixed_field_narrows_the_list(self, api: Api) -> None:
        one, other = await make_meeting(api), await make_meeting(api)
        labels = {c.name: tuple(c.values)[:2] for c in CATEGORIES}
        await classify(api, one, labels={name: values[0] for name, values in labels.items()}, confidence_score=0.9)
        await classify(
            api, other, labels={name: values[1] for name, values in labels.items()}, urgency=True, language="en",
            lost_client_bad_meeting=True, sentiment="negative", confidence_score=0.2,
        )  # fmt: skip
        assert await ids(api) == [other, one]
        for name, values in labels.items():
            assert await ids(api, **{name: values[0]}) == [one]
            assert await ids(api, **{name: values[1]}) == [other]
        pairs = {"urgency": ("false", "true"), "language": ("es", "en"), "lostClientBadMeeting": ("false", "true"),
                 "sentiment": ("positive", "negative")}  # fmt: skip
        for name, fixed in pairs.items():
            assert await ids(api, **{name: fixed[0]}) == [one]
            assert await ids(api, **{name: fixed[1]}) == [other]
        assert await ids(api, minConfidence=0.5) == [one]
        assert await ids(api, businessSector=labels["businessSector"][0], region=labels["region"][1]) == []
        assert await ids(api, businessSector=labels["businessSector"][0], region=labels["region"][0]) == [one]

    async def test_seller_client_and_span_narrow_the_list(self, api: Api) -> None:
        one, other = (
            await make_meeting(api, at="2026-03-10T23:59:00Z"),
            await make_meeting(api, at="2026-03-11T00:00:00Z"),
        )
        for meeting_id in (one, other):
            await classify(api, meeting_id)
        shown = (await api.get(f"{CURRENT}/{one}")).json()
        assert await ids(api, sellerId=shown["sellerId"]) == [one]
        assert await ids(api, clientId=shown["clientId"]) == [one]
        assert await ids(api, to="2026-03-10") == [one]
        assert await ids(api, **{"from": "2026-03-11"}) == [other]
        assert await ids(api, **{"from": "2026-03-10", "to": "2026-03-11"}, sort="meetingAt") == [one, other]

    @pytest.mark.parametrize(
        "query",
        ["businessSector=banking", "businessSector=", "businessSector=Retail", "urgency=maybe", "language=pt",
         "sentiment=mixed", "sellerId=x", "minConfidence=high", "from=yesterday", "sort=summary", "nothing=1",
         "business_sector=retail", "take=101", "page=0"],
    )  # fmt: skip
    async def test_unknown_values_and_names_are_422(self, shared_api: Api, query: str) -> None:
        assert_problem(await shared_api.get(f"{LIST}?{query}"), 422, "validation_failed")

    async def test_pages_follow_one_another(self, api: Api) -> None:
        meetings = await make_meetings(api, 5)
        for meeting_id in meetings:
            await classify(api, meeting_id)
        pages = [(await api.get(LIST, params={"page": page, "take": 2})).json() for page in (1, 2, 3)]
        assert [row["meetingId"] for page in pages for row in page["data"]] == meetings[::-1]
        assert pages[2]["meta"] == {"total": 5, "page": 3, "take": 2, "totalPages": 3, "totalIsEstimate": False}
        assert_problem(await api.get(LIST, params={"page": 1_000, "take": 100}), 400, "page_too_deep")


async def test_a_rare_value_is_found_by_the_index_of_labels_and_a_plain_page_by_that_of_its_order(
    api: Api, sql: Sql
) -> None:
    [meeting_id] = await make_meetings(api, 1)
    await classify(api, meeting_id, labels={"businessSector": "ngo"})
    await sql(
        "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, transcript) "
        "SELECT gen_random_uuid(), client_id, seller_id, now() - n * interval '1 minute', 'open', 'Hola' "
        "FROM meetings, generate_series(1, 5000) AS n"
    )
    await sql(
        "INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language, "
        "lost_client_bad_meeting, sentiment, confidence_score, key_topics, action_items, next_steps, summary, answer, "
        "corrected_fields, provider, model_used, prompt_version, processing_time_ms) "
        "SELECT gen_random_uuid(), id, true, '{\"businessSector\": \"retail\"}', false, 'es', false, 'neutral', 0.5, "
        "'[]', '[]', '', '', '{}', '[]', 'local', 'x', '1', 1 FROM meetings m "
        "WHERE NOT EXISTS (SELECT FROM meeting_classifications WHERE meeting_id = m.id)"
    )
    await sql("ANALYZE meetings")
    await sql("ANALYZE meeting_classifications")

    async def plan(labels: dict[str, str]) -> str:
        own, of_meeting = queries.conditions(ListQuery(), labels, None, None)
        order = queries.ordered(queries.SORTS, "-processedAt", queries.MeetingClassification.id)
        statement = queries.visible(root_key()).where(*own, *of_meeting).order_by(*order).limit(10)
        async with api.gateway.runtime.db.reading() as session:
            compiled = statement.compile(dialect=session.get_bind().dialect, compile_kwargs={"literal_binds": True})
        return "\n".join(row["QUERY PLAN"] for row in await sql(f"EXPLAIN {compiled}"))

    rare = await plan({"businessSector": "ngo"})
    assert "ix_meeting_classifications_labels" in rare, rare
    plain = await plan({})
    assert "ix_meeting_classifications_processed_at" in plain, plain


OWN = """
categories:
  - {name: mood, about: The mood of the room., kpi: topMoods, values: {good: "", bad: awful}}
  - {name: a1b, about: A name with a digit., values: {one: "", two: ""}}
"""


async def test_another_companys_categories_are_keys_filters_and_documentation(
    make_api: MakeApi, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(OWN, "utf-8")
    api = await make_api(classification_file=str(tmp_path / "own.yaml"))
    meeting_id = await make_meeting(api)
    await classify(api, meeting_id, labels={"mood": "bad", "a1b": "two", "businessSector": "retail"})
    body = (await api.get(f"{LIST}/{meeting_id}")).json()
    assert (body["mood"], body["a1b"]) == ("bad", "two")
    assert "businessSector" not in body
    assert await ids(api, mood="bad", a1b="two") == [meeting_id]
    assert await ids(api, mood="good") == []
    assert_problem(await api.get(f"{LIST}?mood=awful"), 422, "validation_failed")
    assert_problem(await api.get(f"{LIST}?businessSector=retail"), 422, "validation_failed")
    document = api.app.openapi()
    parameters = {p["name"]: p for p in document["paths"][LIST]["get"]["parameters"]}
    assert parameters["mood"]["schema"]["anyOf"][0]["enum"] == ["good", "bad"]
    assert parameters["a1b"]["description"] == "A name with a digit."
    assert "businessSector" not in parameters
    shape = document["components"]["schemas"]["Classification"]
    assert shape["properties"]["mood"]["anyOf"][0]["enum"] == ["good", "bad"]
    assert {"mood", "a1b", "summary"} <= set(shape["required"])


async def test_the_document_names_and_enumerates_every_filter(shared_api: Api) -> None:
    parameters = {p["name"]: p for p in shared_api.app.openapi()["paths"][LIST]["get"]["parameters"]}
    for category in CATEGORIES:
        assert parameters[category.name]["schema"]["anyOf"][0]["enum"] == list(category.values)
    assert {"urgency", "language", "sentiment", "lostClientBadMeeting", "sellerId", "clientId", "from", "to"} <= set(
        parameters
    )
