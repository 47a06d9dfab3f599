"""The application on a real port of this process, and people who are connected to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from api_testkit import Api, make_lead

from contactship_api.main import make_server
from contactship_devstack.sockets import Socket


@dataclass(slots=True)
class Person:
    """Somebody logged in. `id` is the user's."""

    id: str
    email: str
    token: str
    http: httpx.AsyncClient


class Live:
    """`connect(person)` opens sockets that are closed with the test."""

    def __init__(self, api: Api, url: str, stack: AsyncExitStack) -> None:
        self.api = api
        self.url = url
        self._stack = stack

    @property
    def realtime(self) -> Any:
        return self.api.gateway.realtime

    async def person(self, role: str = "SALES_AGENT") -> Person:
        client = await self.api.client_for(role)
        user_id = client.headers["x-test-user"]
        token = client.headers["authorization"].removeprefix("Bearer ")
        email = (await client.get("/api/v1/auth/me")).json()["email"]
        return Person(user_id, email, token, client)

    async def connect(self, who: Person) -> Socket:
        return await self._stack.enter_async_context(Socket(self.url, who.token))

    async def bare(self, **options: Any) -> Socket:
        """A connection on which nobody has logged in."""
        opened = Socket(self.url, **options)
        await opened.open()
        self._stack.push_async_callback(opened.close)
        return opened

    async def conversation(self, agent: Person | None = None) -> str:
        lead = await make_lead(self.api)
        body = {"leadId": lead["id"], "channel": "web"}
        answer = await self.api.post("/api/v1/conversations", json=body)
        assert answer.status_code == 201, answer.text
        conversation_id: str = answer.json()["id"]
        if agent is not None:
            await self.assign(conversation_id, agent)
        return conversation_id

    async def assign(self, conversation_id: str, agent: Person | None) -> None:
        body = {"agentId": agent.id if agent else None}
        answer = await self.api.post(f"/api/v1/conversations/{conversation_id}/assign", json=body)
        assert answer.status_code == 200, answer.text

    async def post(self, conversation_id: str, text: str = "Hola", *, by: Person | None = None) -> dict[str, Any]:
        client = by.http if by else self.api.root
        answer = await client.post(f"/api/v1/conversations/{conversation_id}/messages", json={"contentText": text})
        assert answer.status_code == 201, answer.text
        message: dict[str, Any] = answer.json()
        return message

    async def everything_before_has_arrived(self, *sockets: Socket) -> None:
        """What was emitted to these sockets so far has been read: their connections keep the order."""
        for each in sockets:
            await each.call("conversation:leave", "0192f0c4-8d4e-7c3a-9a55-6f1d2b3c4d5e")


Serve = Callable[..., Awaitable[Live]]
"""The fixture `serve`: `await serve(socket_typing_seconds=1)`; again for a second gateway on the same servers."""


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[str]:
    """The HTTP and WebSocket server of `contactship-api` in this process's event loop; its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = make_server(api.app, lifespan="off")
    task = asyncio.create_task(server._serve([listening]))  # `serve` would take pytest's signal handlers
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task
