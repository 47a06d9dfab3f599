"""The Socket.IO server of one process: connecting, disconnecting, and who may stay."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import orjson
import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from contactship_api.access.authenticate import Authenticator
from contactship_api.realtime.events import REFUSALS, EventRefused, SocketEvents
from contactship_api.realtime.manager import GatewayManager
from contactship_api.realtime.sessions import Session, Sessions
from contactship_common import metrics
from contactship_common.conversations.audience import ADMINS, EVERYBODY, user_room
from contactship_common.db import DATABASE_AWAY
from contactship_common.errors import Unauthenticated
from contactship_common.models import Role
from contactship_common.periodic import periodically
from contactship_common.runtime import Runtime
from contactship_common.settings import ApiSettings

log = structlog.get_logger()

_LARGEST_EVENT_BYTES = 64 * 1024
_SWEEP_SECONDS = 30.0


class _Json:
    """orjson under the interface that python-socketio expects."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        return orjson.loads(text)


class RealtimeServer:
    """Made by the gateway. `asgi` wraps the application; `manager` is what units of work emit through."""

    def __init__(self, settings: ApiSettings, runtime: Runtime, authenticator: Authenticator) -> None:
        self._settings = settings
        self._runtime = runtime
        self._authenticator = authenticator
        self.sessions = Sessions()
        self.manager = GatewayManager(runtime.redis, runtime.settings.redis_url, self._on_access_changed)
        self.sio = socketio.AsyncServer(
            async_mode="asgi",
            client_manager=self.manager,
            cors_allowed_origins=_origins(settings),
            max_http_buffer_size=_LARGEST_EVENT_BYTES,
            json=_Json,
            logger=False,
            engineio_logger=False,
        )
        self._events = SocketEvents(self.sio, runtime, settings, self.sessions)
        self._stop = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._disconnect)
        for name, handle in self._events.handlers().items():
            self.sio.on(name, self._in_order(name, handle))

    def asgi(self, app: Any) -> Any:
        """The application with `/socket.io/` in front."""
        return socketio.ASGIApp(self.sio, other_asgi_app=app)

    async def open(self) -> None:
        # The library starts listening with the first connection; emits of other processes may come before.
        self._stop.clear()
        self._spawn(periodically("realtime_sweep", self.sweep, every_seconds=_SWEEP_SECONDS, stop=self._stop))

    async def close(self) -> None:
        self._stop.set()
        await self.sio.shutdown()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        token = _token_of(environ, auth)
        if token is None:
            raise Refused("unauthenticated", REFUSALS["unauthenticated"])
        try:
            who, expires_at = await self._authenticator.person_with_expiry(token)
        except Unauthenticated:
            raise Refused("unauthenticated", REFUSALS["unauthenticated"]) from None
        except DATABASE_AWAY:
            raise Refused("unavailable", REFUSALS["unavailable"]) from None
        if who.id is None:
            raise Refused("unauthenticated", REFUSALS["unauthenticated"])
        self.sessions.add(Session(sid, who.id, who.email or "", who, expires_at))
        metrics.SOCKETS.set(len(self.sessions))
        for room in (user_room(who.id), EVERYBODY, *([ADMINS] if who.role == Role.ADMIN else [])):
            await self.sio.enter_room(sid, room)
        log.info("socket.connected", user=str(who.id))

    async def _disconnect(self, sid: str, _reason: Any = None) -> None:
        session = self.sessions.remove(sid)
        metrics.SOCKETS.set(len(self.sessions))
        if session is not None:
            await self._events.gone(session)
            log.info("socket.disconnected", user=str(session.user_id))

    def _in_order(
        self, name: str, handle: Callable[[Session, UUID], Awaitable[None]]
    ) -> Callable[..., Awaitable[dict[str, Any] | None]]:
        """Events of one socket happen in the order they came in, although the library runs each in a task."""

        async def run(sid: str, *arguments: Any) -> dict[str, Any] | None:
            session = self.sessions.get(sid)
            if session is None:
                return None
            async with session.order:
                try:
                    await handle(session, await self._events.admit(session, arguments))
                except EventRefused as refused:
                    metrics.SOCKET_EVENTS.labels(name, refused.code).inc()
                    told = REFUSALS[refused.code]
                    await self.sio.emit("error", {**told, "event": name}, to=sid)
                    return {"ok": False, "error": refused.code}
            metrics.SOCKET_EVENTS.labels(name, "ok").inc()
            return {"ok": True}

        return run

    def _on_access_changed(self, user_id: UUID) -> None:
        """Somebody was deactivated, logged out or got another role: look at once, in every process."""
        self._authenticator.forget_user(user_id)
        sessions = self.sessions.of_user(user_id)
        if sessions:
            self._spawn(self._drop_outdated(sessions))

    async def sweep(self) -> None:
        """Drop whoever may not stay: expired tokens, deactivated people, changed roles, ended logins."""
        await self._drop_outdated(self.sessions.all())

    async def _drop_outdated(self, sessions: list[Session]) -> None:
        standing = await self._authenticator.still_standing({session.who for session in sessions})
        now = time.time()
        for session in sessions:
            if session.expires_at <= now:
                await self._drop(session, "token_expired")
            elif session.who not in standing:
                await self._drop(session, "access_changed")

    async def _drop(self, session: Session, code: str) -> None:
        await self.sio.emit("error", REFUSALS[code], to=session.sid)
        await self.sio.disconnect(session.sid)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _origins(settings: ApiSettings) -> list[str] | str | None:
    """As CORS_ORIGIN; None: the page's own origin only."""
    if "*" in settings.cors_origin:
        return "*"
    return list(settings.cors_origin) or None


def _token_of(environ: dict[str, Any], auth: Any) -> str | None:
    if isinstance(auth, dict) and isinstance(auth.get("token"), str):
        return str(auth["token"]).removeprefix("Bearer ").strip() or None
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
