"""The Socket.IO server of one process: connecting, disconnecting, and who may stay."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import socketio
import structlog
from socketio.exceptions import ConnectionRefusedError as Refused

from contactship_api.access.authenticate import Authenticator
from contactship_api.realtime.events import SocketEvents
from contactship_api.realtime.protocol import GuardedServer, encoded
from contactship_api.realtime.refusals import REFUSALS, EventRefused
from contactship_api.realtime.relay import Relay
from contactship_api.realtime.sessions import Session, Sessions
from contactship_common import metrics
from contactship_common.conversations.audience import ADMINS, EVERYBODY, user_room
from contactship_common.db import DATABASE_AWAY
from contactship_common.errors import Unauthenticated
from contactship_common.models import Role
from contactship_common.periodic import periodically
from contactship_common.realtime import Event
from contactship_common.runtime import Runtime
from contactship_common.settings import ApiSettings

log = structlog.get_logger()

_STRANGER_SECONDS = 15.0
_FAREWELL_SECONDS = 2.0
_LOOKED_AT_TOGETHER = 5_000  # people in one statement

Handler = Callable[[Session, UUID], Awaitable[None]]


class RealtimeServer:
    """Made by the gateway. `asgi` wraps the application; `relay` is what units of work emit through."""

    def __init__(self, settings: ApiSettings, runtime: Runtime, authenticator: Authenticator) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self.sessions = Sessions()
        self.relay = Relay(
            runtime.redis,
            runtime.settings.redis_url,
            deliver=self._deliver,
            on_access_changed=self._on_access_changed,
            on_connected=lambda: self._spawn(self.sweep()),  # what was said meanwhile has been missed
        )
        self._events = SocketEvents(runtime, settings, self.sessions, self._spawn)
        handlers = self._events.handlers()
        self.sio = GuardedServer(
            handlers,
            events_per_second=settings.socket_events_per_second,
            refuse=self._refuse,
            origins=_origins(settings),
        )
        self.sio.on("connect", self._connect)
        self.sio.on("disconnect", self._disconnect)
        for name, handle in handlers.items():
            self.sio.on(name, self._in_order(name, handle))
        self._stop = asyncio.Event()
        self._sweeping: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    def asgi(self, app: Any) -> Any:
        """The application with `/socket.io/` in front."""
        return socketio.ASGIApp(self.sio, other_asgi_app=app)

    async def open(self) -> None:
        await self.relay.subscription.open()
        every = self._settings.socket_sweep_seconds
        sweeping = periodically("realtime_sweep", self.sweep, every_seconds=every, stop=self._stop)
        self._sweeping = asyncio.create_task(sweeping)

    async def say_goodbye(self) -> None:
        """Close every connection so that its client connects again, to another process; nobody new gets in."""
        self._stop.set()
        for wire in self.sio.connections():
            await self.sio.hang_up(wire)

    async def close(self) -> None:
        await self.say_goodbye()
        remaining = {*self._background, *([self._sweeping] if self._sweeping else [])}
        if remaining:
            await asyncio.wait(remaining, timeout=_FAREWELL_SECONDS)  # others hear that typing stops
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)
        await self.relay.subscription.close()
        await self.sio.shutdown()

    async def sweep(self) -> None:
        """Drop whoever may not stay: expired tokens, deactivated people, changed roles, ended logins, and connections
        on which nobody has logged in."""
        for wire in self.sio.strangers(_STRANGER_SECONDS):
            await self.sio.hang_up(wire)
        await self._drop_outdated(self.sessions.all())

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        try:
            token = _token_of(environ, auth)
            if token is None:
                raise Unauthenticated
            if self._stop.is_set():
                raise EventRefused("unavailable")
            who, expires_at = await self._authenticator.person_with_expiry(token)
            wire = self.sio.wire_of(sid)
            if who.id is None or wire is None:  # None: it was closed while we looked
                raise Unauthenticated
        except Unauthenticated:
            raise _refused("unauthenticated") from None
        except EventRefused as refused:
            raise _refused(refused.code) from None
        except DATABASE_AWAY:
            raise _refused("unavailable") from None
        except Exception:
            log.exception("socket.connect_failed")
            raise _refused("unavailable") from None
        # From here on without a pause, so that no event comes before the client's confirmation or is missed after it.
        rooms = [user_room(who.id), EVERYBODY, *([ADMINS] if who.role == Role.ADMIN else [])]
        self.sessions.add(Session(sid, wire, who.id, who.email or "", who, expires_at), *rooms)
        metrics.SOCKETS.set(len(self.sessions))
        log.info("socket.connected", user=str(who.id))
        # The tab that was opened last is the one that is looked at. Told to stay away: two would take turns for ever.
        for surplus in self.sessions.of_user(who.id)[: -self._settings.socket_max_per_person]:
            self._spawn(self._drop(surplus, "too_many_sockets"))

    async def _disconnect(self, sid: str, _reason: Any = None) -> None:
        self._forget(sid)

    def _forget(self, sid: str) -> None:
        """From now on nothing is delivered to it."""
        session = self.sessions.remove(sid)
        if session is not None:
            metrics.SOCKETS.set(len(self.sessions))
            log.info("socket.disconnected", user=str(session.user_id))
            if session.typing or session.order.locked():
                self._spawn(self._events.gone(session))

    def _in_order(self, name: str, handle: Handler) -> Callable[..., Awaitable[dict[str, Any] | None]]:
        """Events of one socket happen in the order they came in, although the library runs each in a task."""

        async def run(sid: str, *arguments: Any) -> dict[str, Any] | None:
            session = self.sessions.get(sid)
            if session is None:
                return None
            async with session.order:
                try:
                    await handle(session, self._events.conversation_of(arguments))
                except EventRefused as refused:
                    self._refuse(sid, name, refused.code)
                    return {"ok": False, "error": refused.code}
                except Exception:
                    log.exception("socket.event_failed", event_name=name)
                    self._refuse(sid, name, "unavailable")
                    return {"ok": False, "error": "unavailable"}
            metrics.SOCKET_EVENTS.labels(name, "ok").inc()
            return {"ok": True}

        return run

    def _refuse(self, sid: str, name: str, code: str = "rate_limited") -> None:
        metrics.SOCKET_EVENTS.labels(name, code).inc()
        session = self.sessions.get(sid)
        if session is not None:
            self.sio.put(session.wire, encoded("error", {**REFUSALS[code], "event": name}))

    def _deliver(self, event: Event) -> None:
        """Hand an event to the sockets of this process that are in its rooms."""
        sessions = self.sessions.in_rooms(event.rooms)
        if sessions:
            packet = encoded(event.name, event.data)
            for session in sessions:
                if not self.sio.put(session.wire, packet):
                    log.warning("socket.too_slow", user=str(session.user_id))
                    self._forget(session.sid)
                    self._spawn(self.sio.hang_up(session.wire))
        if event.name == "conversation:assigned" and (lost_by := event.data.get("previousAgentId")):
            self._spawn(self._events.look_again(UUID(event.data["conversationId"]), UUID(lost_by)))

    def _on_access_changed(self, user_id: UUID) -> None:
        """Somebody was deactivated, logged out or got another role: look at once, in every process."""
        self._authenticator.forget_user(user_id)
        sessions = self.sessions.of_user(user_id)
        if sessions:
            self._spawn(self._drop_outdated(sessions))

    async def _drop_outdated(self, sessions: list[Session]) -> None:
        now = time.time()
        alive = []
        for session in sessions:
            if session.expires_at <= now:  # first of all: needs no database
                await self._drop(session, "token_expired")
            else:
                alive.append(session)
        for start in range(0, len(alive), _LOOKED_AT_TOGETHER):
            some = alive[start : start + _LOOKED_AT_TOGETHER]
            standing = await self._authenticator.still_standing({session.who for session in some})
            for session in some:
                if session.who not in standing:
                    await self._drop(session, "access_changed")

    async def _drop(self, session: Session, code: str) -> None:
        """Tell it why, and that it should not come again by itself."""
        if self.sessions.get(session.sid) is not session:
            return
        self.sio.put(session.wire, encoded("error", REFUSALS[code]))
        self._forget(session.sid)
        await self.sio.disconnect(session.sid)
        await self.sio.hang_up(session.wire)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.create_task(_guarded(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _guarded(work: Awaitable[None]) -> None:
    try:
        await work
    except DATABASE_AWAY as error:
        log.warning("realtime.delayed", error=type(error).__name__)  # the next sweep looks again
    except Exception:
        log.exception("realtime.failed")


def _refused(code: str) -> Refused:
    """A `connect_error` whose `data` is `{code, message}`."""
    return Refused(REFUSALS[code]["message"], REFUSALS[code])


def _origins(settings: ApiSettings) -> Callable[[str, dict[str, Any]], bool] | str:
    """As CORS_ORIGIN, and always the page's own origin."""
    if "*" in settings.cors_origin:
        return "*"

    def is_allowed(origin: str, environ: dict[str, Any]) -> bool:
        hosts = {environ.get("HTTP_HOST"), environ.get("HTTP_X_FORWARDED_HOST")}
        return origin in settings.cors_origin or urlsplit(origin).netloc in hosts

    return is_allowed


def _token_of(environ: dict[str, Any], auth: Any) -> str | None:
    given = auth.get("token") if isinstance(auth, dict) else None
    if isinstance(given, str):
        scheme, _, token = given.strip().partition(" ")
        return (token.strip() if scheme.lower() == "bearer" else given.strip()) or None
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
