"""What every problem must look like."""

from typing import Any

import httpx

_FIELDS = {"type", "title", "status", "detail", "instance", "code", "requestId"}
_DRIVER_WORDS = ("psycopg", "sqlalchemy", "traceback", "select ", "insert into", "duplicate key", "pydantic", 'file "')


def assert_problem(
    answer: httpx.Response, status: int, code: str | None = None, *, not_shown: str = ""
) -> dict[str, Any]:
    """The body, after checking its shape; `not_shown` is input that must not come back."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:500]}"
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body.keys() >= _FIELDS
    assert body["status"] == status
    assert body["type"] == f"urn:contactship:problem:{body['code']}"
    assert body["requestId"] == answer.headers["x-request-id"]
    if code is not None:
        assert body["code"] == code
    text = answer.text.lower()
    assert not [word for word in _DRIVER_WORDS if word in text]
    if not_shown:
        assert not_shown not in answer.text
    if body["code"] == "validation_failed":
        assert body["errors"]
        assert all(set(error) == {"path", "message", "code"} for error in body["errors"])
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    return body
