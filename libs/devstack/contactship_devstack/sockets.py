"""A bare Socket.IO client over a WebSocket, for tests and measurements: says exactly what it is told to, packet by
packet, also what no proper client would, and costs little.

    async with Socket(api_url, token) as socket:
        await socket.call("conversation:join", conversation_id)      # {"ok": True}
        event = await socket.next("message:new")
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed


class Received(NamedTuple):
    """An event, and when it arrived (seconds of `time.monotonic`, the same clock for all processes of a machine)."""

    name: str
    data: Any
    at: float


class SocketRefused(Exception):
    """The server's `connect_error`: `{message, data}`."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__(str(told))
        self.told = told

    @property
    def code(self) -> str:
        return str(self.told["data"]["code"])


class Socket:
    """One client. `events` are all that came; `closed` is set when the connection has ended, `dismissed` when the
    server said before that it should not come again by itself."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        self.url = url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
        self.events: list[Received] = []
        self.closed = asyncio.Event()
        self.dismissed = False
        self._token = token
        self._headers = headers or {}
        self._on_event = on_event
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._arrived = asyncio.Condition()
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wire: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        try:
            await self.log_in()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """The Engine.IO connection alone; nobody has logged in on it yet."""
        self._wire = await connect(
            self.url, additional_headers=self._headers, compression=None, ping_interval=None, proxy=None, max_queue=None
        )
        self._reader = asyncio.create_task(self._read())

    async def log_in(self, auth: Any = ...) -> None:
        """
        Raises:
            SocketRefused
        """
        if auth is ...:
            auth = {"token": self._token} if self._token else None
        await self.say("40" + (json.dumps(auth) if auth is not None else ""))
        async with asyncio.timeout(15):
            await self._connected

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()
        if self._reader is not None:
            await self._reader

    async def say(self, frame: str | bytes) -> None:
        """Send a frame as it is."""
        assert self._wire is not None
        await self._wire.send(frame)

    async def emit(self, event: str, *arguments: Any) -> None:
        await self.say("42" + json.dumps([event, *arguments]))

    async def call(self, event: str, *arguments: Any, seconds: float = 15.0) -> Any:
        """Emit, and wait for the acknowledgement."""
        answer = await self.ask(event, *arguments)
        async with asyncio.timeout(seconds):
            return await answer

    async def ask(self, event: str, *arguments: Any) -> asyncio.Future[Any]:
        """Emit; the acknowledgement comes later."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self.say(f"42{number}" + json.dumps([event, *arguments]))
        return answer

    def got(self, *names: str) -> list[Any]:
        """The data of all events of these names so far."""
        return [event.data for event in self.events if event.name in names]

    async def next(self, name: str, *, after: int = 0, seconds: float = 15.0) -> Received:
        """The first event of this name that is not among the first `after` of its name; waits for it."""
        async with asyncio.timeout(seconds), self._arrived:
            while True:
                found = [event for event in self.events if event.name == name]
                if len(found) > after:
                    return found[after]
                await self._arrived.wait()

    def stop_reading(self) -> None:
        """Hang with the connection open, as a laptop whose lid was closed."""
        assert self._wire is not None
        self._wire.transport.pause_reading()

    async def _read(self) -> None:
        assert self._wire is not None
        try:
            async for frame in self._wire:
                await self._handle(frame if isinstance(frame, str) else frame.decode())
        except ConnectionClosed:
            pass
        self.closed.set()
        if not self._connected.done():
            self._connected.set_exception(SocketRefused({"message": "closed", "data": {"code": "closed"}}))
            self._connected.exception()

    async def _handle(self, frame: str) -> None:
        at = time.monotonic()
        kind = frame[:2]
        if frame == "2":
            await self.say("3")
        elif kind == "42":
            if self._on_event is not None:
                self._on_event(frame)
                return
            name, *data = json.loads(frame[2:])
            self.events.append(Received(name, data[0] if data else None, at))
            async with self._arrived:
                self._arrived.notify_all()
        elif kind == "43":
            number, _, rest = frame[2:].partition("[")
            self._answers.pop(int(number)).set_result(json.loads("[" + rest)[0])
        elif frame[2:3] == "/":
            return  # of another namespace
        elif kind == "40" and not self._connected.done():
            self._connected.set_result(None)
        elif kind == "44" and not self._connected.done():
            self._connected.set_exception(SocketRefused(json.loads(frame[2:])))
        elif kind == "41":
            self.dismissed = True
