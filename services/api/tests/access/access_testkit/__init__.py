"""Logging in and out, as the tests of this folder do it."""

from typing import Any

import httpx
from api_testkit import Api
from api_testkit.api import PASSWORD


class TestClock:
    """A clock that stands still until a test moves it; in seconds."""

    __test__ = False

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def with_clock(api: Api) -> TestClock:
    """Let the application judge the freshness of what it remembers about callers by a clock of the test."""
    clock = TestClock()
    api.gateway.authenticator._clock = clock
    return clock


def bearer(api: Api, token: str) -> httpx.AsyncClient:
    return api.client({"authorization": f"Bearer {token}"})


async def log_in(api: Api, email: str, password: str = PASSWORD) -> dict[str, Any]:
    answer = await api.anonymous.post("/api/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def refresh(api: Api, token: str) -> httpx.Response:
    return await api.anonymous.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def me(api: Api, token: str) -> int:
    """The status that an access token gets now."""
    return (await bearer(api, token).get("/api/v1/auth/me")).status_code


async def make_key(api: Api, *scopes: str, **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/api-keys", json={"name": "Website form", "scopes": list(scopes), **more})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body
