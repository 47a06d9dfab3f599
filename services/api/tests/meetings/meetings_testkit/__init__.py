"""Clients, sellers and meetings for tests: through the API, and a classification straight into its table."""

from typing import Any

from api_testkit import Api, Sql

from contactship_common.models.base import new_id

CLIENTS, SELLERS, MEETINGS = "/api/v1/clients", "/api/v1/sellers", "/api/v1/meetings"
NOBODY = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


def some_email() -> str:
    return f"someone-{new_id().hex[-12:]}@example.com"


async def make(api: Api, path: str, **body: Any) -> dict[str, Any]:
    answer = await api.post(path, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{path}/{made['id']}"
    return made


async def make_client(api: Api, **changes: Any) -> dict[str, Any]:
    return await make(api, CLIENTS, **({"name": "Lucía Fernández"} | changes))


async def make_seller(api: Api, **changes: Any) -> dict[str, Any]:
    return await make(api, SELLERS, **({"name": "Tomás Rivas", "email": some_email()} | changes))


async def make_meeting(api: Api, **changes: Any) -> dict[str, Any]:
    body = {"meetingAt": "2026-03-10T15:00:00Z"} | changes
    if "clientId" not in body:
        body["clientId"] = (await make_client(api))["id"]
    if "sellerId" not in body:
        body["sellerId"] = (await make_seller(api))["id"]
    return await make(api, MEETINGS, **body)


async def listed(api: Api, path: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = await api.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def walk(api: Api, path: str, **parameters: Any) -> list[str]:
    """The ids of all pages, three rows each, in order."""
    ids: list[str] = []
    page = 1
    while rows := await listed(api, path, page=page, take=3, **parameters):
        ids += [row["id"] for row in rows]
        page += 1
    return ids


async def classify(sql: Sql, meeting_id: str, summary: str = "Quieren una demo", sentiment: str = "positive") -> str:
    """A current classification, as the worker leaves it; returns its id."""
    row_id = str(new_id())
    await sql(
        "INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language,"
        " lost_client_bad_meeting, sentiment, confidence_score, key_topics, action_items, next_steps, summary, answer,"
        " corrected_fields, provider, model_used, prompt_version, processing_time_ms)"
        " VALUES (%s, %s, true, '{}', false, 'es', false, %s, 0.8, '[]', '[]', 'Llamar', %s, '{}', '[]', 'local',"
        " 'm', '1', 5)",
        row_id,
        meeting_id,
        sentiment,
        summary,
    )
    return row_id
