"""Paths of the older systems keep working, and the document shows only ours."""

import pytest
from api_testkit import Api, assert_problem, make_lead, new_lead

from contactship_api.http.aliases import canonical

TABLE = [
    ("POST", "/auth/login", "/api/v1/auth/login"),
    ("POST", "/auth/register", "/api/v1/auth/register"),
    ("GET", "/leads", "/api/v1/leads"),
    ("GET", "/leads/1", "/api/v1/leads/1"),
    ("POST", "/leads/1/summarize", "/api/v1/leads/1/summarize"),
    ("POST", "/create-lead", "/api/v1/leads"),
    ("POST", "/leads/create-lead", "/api/v1/leads"),
    ("GET", "/leads/create-lead", "/api/v1/leads/create-lead"),
    ("GET", "/create-lead", "/create-lead"),
    ("POST", "/sync/trigger", "/api/v1/sync/trigger"),
    ("GET", "/api/interactions", "/api/v1/interactions"),
    ("GET", "/api/interactions/1", "/api/v1/interactions/1"),
    ("POST", "/api/otp/create", "/api/v1/otp/create"),
    ("POST", "/webhooks/twilio", "/api/v1/webhooks/twilio"),
    ("POST", "/api/webhooks/twilio", "/api/v1/webhooks/twilio"),
    ("GET", "/api/health", "/health"),
    ("GET", "/api/health/readiness", "/health/readiness"),
    ("GET", "/api/v1/health", "/health"),
    ("GET", "/api/v1/health/liveness", "/health/liveness"),
    ("GET", "/api/v1/workers/task/1", "/api/v1/tasks/1"),
    ("GET", "/api/v1/leads", "/api/v1/leads"),
    ("GET", "/leadsx", "/leadsx"),
    ("GET", "/api/healthy", "/api/healthy"),
]


@pytest.mark.parametrize(("method", "path", "routed"), TABLE)
def test_an_older_path_is_routed_as_ours(method: str, path: str, routed: str) -> None:
    assert canonical(method, path) == routed


@pytest.mark.parametrize("path", ["/create-lead", "/leads/create-lead", "/leads", "/api/v1/leads"])
async def test_a_lead_can_be_made_at_every_older_path(shared_api: Api, path: str) -> None:
    answer = await shared_api.post(path, json=new_lead())
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/leads/{answer.json()['id']}"


async def test_older_paths_of_tasks_and_batches_answer_like_ours(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    task = (await shared_api.post(f"/leads/{lead['id']}/summarize")).json()
    old = await shared_api.get(f"/api/v1/workers/task/{task['taskId']}")
    assert old.json() == (await shared_api.get(f"/api/v1/tasks/{task['taskId']}")).json()
    batch = (await shared_api.post("/leads/summarize", json={"leadIds": [lead["id"]]})).json()
    old = await shared_api.get(f"/api/v1/workers/batch/{batch['batchId']}")
    assert old.json() == (await shared_api.get(f"/api/v1/tasks/batches/{batch['batchId']}")).json()


@pytest.mark.parametrize("path", ["/api/health", "/api/v1/health/liveness", "/api/health/readiness"])
async def test_health_answers_under_its_older_names(shared_api: Api, path: str) -> None:
    assert (await shared_api.anonymous.get(path)).status_code == 200


async def test_a_problem_names_the_path_that_was_asked(shared_api: Api) -> None:
    body = assert_problem(await shared_api.get("/leads/unknown"), 404)
    assert body["instance"] == "/leads/unknown"


async def test_a_lead_shows_its_next_action_under_both_names(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    assert lead["nextAction"] is None
    assert lead["next_action"] is None


async def test_the_document_shows_only_canonical_paths(shared_api: Api) -> None:
    paths = (await shared_api.anonymous.get("/api/openapi.json")).json()["paths"]
    for path in paths:
        assert canonical("POST", path) == path
        assert path.startswith("/api/v1/") or path in {
            "/", "/ping", "/health", "/health/liveness", "/health/readiness", "/metrics", "/workers/health",
        }  # fmt: skip
