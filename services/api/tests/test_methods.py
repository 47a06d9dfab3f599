"""405 names every method of the path, whatever route was asked."""

import pytest
from api_testkit import Api, assert_problem

LEAD = "/api/v1/leads/01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE", "PURGE"])
@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/leads", "GET, POST"),
        ("/leads", "GET, POST"),
        (LEAD, "GET, PATCH, DELETE"),
        (f"{LEAD}/summarize", "POST"),
        ("/api/v1/auth/login", "POST"),
        ("/api/v1/tasks", "GET"),
        (LEAD.replace("leads", "tasks"), "GET, DELETE"),
        ("/ping", "GET"),
        ("/health", "GET"),
    ],
)
async def test_a_method_that_is_not_offered_is_405(shared_api: Api, method: str, path: str, allowed: str) -> None:
    answer = await shared_api.anonymous.request(method, path)
    if method == "HEAD":  # has no body
        assert answer.status_code == 405
    else:
        assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
@pytest.mark.parametrize("path", ["/api/v1/leads/statistics", "/api/v1/leads/export"])
async def test_a_path_beside_an_id_is_no_id(shared_api: Api, method: str, path: str) -> None:
    answer = await shared_api.request(method, path, json={"status": "lost"})
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET"
