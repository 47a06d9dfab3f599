"""The application in the test's process: its real wiring, called over ASGI, with its lifespan."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import psycopg
from fastapi import FastAPI

from contactship_api.app import create_app
from contactship_api.gateway import Gateway
from contactship_common.models.base import new_id
from contactship_common.passwords import hash_now
from contactship_common.settings import ApiSettings, CoreSettings

ROOT_KEY = "root-key-of-the-tests-0123456789abcdef"
PASSWORD = "correct horse battery"


class Api:
    """`get`, `post`, … call with the root key; `client_for` gives callers of other kinds."""

    def __init__(self, app: FastAPI, database_url: str, stack: AsyncExitStack) -> None:
        self.app = app
        self.gateway: Gateway = app.state.gateway
        self.database_url = database_url
        self._stack = stack
        self.root = self.client({"x-api-key": ROOT_KEY})
        self.anonymous = self.client({})
        self.get, self.post, self.patch, self.delete = (
            self.root.get,
            self.root.post,
            self.root.patch,
            self.root.delete,
        )
        self.request = self.root.request

    def client(
        self, headers: dict[str, str], *, address: str = "127.0.0.1", raise_errors: bool = True
    ) -> httpx.AsyncClient:
        """A client that always sends these headers; an unexpected error of the application is the test's error."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=raise_errors, client=(address, 50_000))
        return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)

    async def make_user(self, email: str, role: str = "SALES_AGENT", *, password: str = PASSWORD) -> str:
        """A user straight in the table; returns the id."""
        user_id = new_id()
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            await connection.execute(
                "INSERT INTO users (id, email, name, password_hash, role, active) "
                "VALUES (%s, %s, 'Someone', %s, %s, true)",
                (user_id, email, hash_now(password), role),
            )
        return str(user_id)

    async def token(self, email: str, *, password: str = PASSWORD) -> str:
        answer = await self.anonymous.post("/api/v1/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def client_for(self, role: str = "SALES_AGENT", email: str = "") -> httpx.AsyncClient:
        """A new person with this role, logged in."""
        email = email or f"{role.lower()}-{new_id().hex[-8:]}@example.com"
        user_id = await self.make_user(email, role)
        return self.client({"authorization": f"Bearer {await self.token(email)}", "x-test-user": user_id})


MakeApi = Callable[..., Awaitable[Api]]
"""The fixture `make_api`."""


def _settings(given: dict[str, Any]) -> tuple[CoreSettings, ApiSettings]:
    """Staging: like production, but without its refusals, and no first ADMIN is made."""
    chosen = {
        "environment": "staging", "api_secret_key": ROOT_KEY, "rate_limit_max": 0, "port": 0, "cors_origin": [],
        "login_limit_per_address": 10_000, "db_pool_timeout": 10.0,
        "jwt_secret": "secret-of-the-tests-0123456789abcdefghij",
    } | given  # fmt: skip
    core = {name: value for name, value in chosen.items() if name in CoreSettings.model_fields}
    own = {name: value for name, value in chosen.items() if name in ApiSettings.model_fields}
    assert {*core, *own} == {*chosen}
    return CoreSettings(**core), ApiSettings(**own)


@asynccontextmanager
async def open_api(**settings: Any) -> AsyncIterator[Api]:
    """Start the application, and stop it at the end."""
    app = create_app(*_settings(settings))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield Api(app, settings["database_url"], stack)
