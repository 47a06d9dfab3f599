"""What a client reads when a value is not accepted."""

from typing import Any

import pytest
from api_testkit import Api, assert_problem, make_lead, new_lead


@pytest.mark.parametrize(
    ("changes", "path", "code", "message"),
    [
        ({"firstName": ""}, "body.firstName", "too_short", "Text should have at least 1 characters"),
        ({"phone": "1" * 51}, "body.phone", "too_long", "Text should have at most 50 characters"),
        ({"address": "Calle 1"}, "body.address", "model_attributes_type", "Should be a JSON object"),
        ({"dateOfBirth": 0}, "body.dateOfBirth", "date_parsing", "Should be a date such as 1990-05-01"),
        ({"dateOfBirth": "86400"}, "body.dateOfBirth", "date_parsing", "Should be a date such as 1990-05-01"),
    ],
)
async def test_the_message_speaks_of_what_was_sent(
    api: Api, changes: dict[str, Any], path: str, code: str, message: str
) -> None:
    body = assert_problem(await api.post("/api/v1/leads", json=new_lead(**changes)), 422, "validation_failed")
    assert body["errors"] == [{"path": path, "message": message, "code": code}]


async def test_unknown_query_parameters_are_named(api: Api) -> None:
    body = assert_problem(await api.get("/api/v1/leads?colour=red&size=1"), 422, "validation_failed")
    assert [error["path"] for error in body["errors"]] == ["query.colour", "query.size"]


async def test_a_body_where_none_belongs_is_refused(api: Api) -> None:
    lead = await make_lead(api)
    path = f"/api/v1/leads/{lead['id']}/summarize"
    body = assert_problem(await api.post(path, json={"force": True}), 422, "validation_failed")
    assert body["errors"] == [{"path": "body", "message": "This operation takes no body", "code": "extra_forbidden"}]
    assert (await api.post(path, json={})).status_code == 202


async def test_of_a_time_of_birth_the_day_is_kept(api: Api) -> None:
    lead = await make_lead(api, dateOfBirth="1990-05-01T13:00:00.000Z")
    assert lead["person"]["dateOfBirth"] == "1990-05-01"


async def test_a_name_can_be_changed_as_one(api: Api) -> None:
    lead = await make_lead(api)
    changed = (await api.patch(f"/api/v1/leads/{lead['id']}", json={"name": "María del Carmen Ruiz"})).json()
    assert (changed["person"]["firstName"], changed["person"]["lastName"]) == ("María", "del Carmen Ruiz")
    twice = await api.patch(f"/api/v1/leads/{lead['id']}", json={"name": "A B", "firstName": "C"})
    assert_problem(twice, 422, "validation_failed")


async def test_a_batch_without_anything_to_do_says_so(api: Api) -> None:
    unknown = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"
    answer = (await api.post("/api/v1/leads/summarize", json={"leadIds": [unknown]})).json()
    assert (answer["queued"], answer["alreadyDone"], answer["notFound"]) == (0, 0, 1)
    assert answer["message"].startswith("There is nothing to do")
