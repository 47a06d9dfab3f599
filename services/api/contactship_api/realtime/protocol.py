"""python-socketio behind a guard: what a client sends is checked before the library sees it.

The library trusts its clients in places: an event named `disconnect` would run our handler for it, a binary packet may
announce a billion attachments, text that is no packet ends in a traceback. Clients that keep to the protocol never
notice the guard.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import engineio
import orjson
import socketio
from engineio.async_drivers import asgi
from engineio.packet import MESSAGE
from engineio.packet import Packet as EnginePacket
from engineio.payload import Payload
from socketio import packet as kinds

LARGEST_MESSAGE_BYTES = 64 * 1024

_MOST_ATTACHMENTS = 8
_FLOOD = 10
"""Whoever sends this many times what is allowed a second, all of it refused, is cut off."""
_LONGEST_BACKLOG = 5_000
"""Events that may wait for a client that does not read; it is cut off then, and catches up when it comes again."""

# A long-polling client sends what it has as one body, of bounded size. The library takes 16 packets of it and drops a
# body with more.
Payload.max_decode_packets = 1_000

# What the libraries log as errors are mistakes of clients; our handlers log their own.
_quiet = logging.getLogger("contactship.socketio")
_quiet.setLevel(logging.CRITICAL)

_MALFORMED = (ValueError, TypeError, KeyError, IndexError)


class _Json:
    """orjson under the interface that the libraries expect."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        return orjson.loads(text)


def encoded(event: str, *arguments: Any) -> EnginePacket:
    """An event as it goes over the wire; made once for however many sockets."""
    return EnginePacket(MESSAGE, f"{kinds.EVENT}{orjson.dumps([event, *arguments]).decode()}")


class Allowance:
    """A token bucket: `per_second` events, and as many at once. `excess` is what was refused in the last second."""

    __slots__ = ("_at", "_left", "_window", "excess", "opened_at", "per_second")

    def __init__(self, per_second: float) -> None:
        self.per_second = self._left = per_second
        self.opened_at = self._at = self._window = time.monotonic()
        self.excess = 0

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self.per_second, self._left + (now - self._at) * self.per_second)
        self._at = now
        if now - self._window >= 1.0:
            self._window, self.excess = now, 0
        if self._left < 1:
            self.excess += 1
            return False
        self._left -= 1
        return True


class _WebSocket(asgi.WebSocket):  # type: ignore[misc]  # the library has no types
    """Ends with the first frame that is no Engine.IO packet; the library would leave the socket half open."""

    async def wait(self) -> str | bytes:
        frame: str | bytes = await super().wait()
        if isinstance(frame, str) and frame[:1] not in set("0123456"):
            raise OSError("not an Engine.IO packet")
        return frame


class _Engine(engineio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """Never waits for a client to read before it closes: the library would, for as long as the client likes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._async = {**asgi._async, "websocket": _WebSocket}

    async def disconnect(self, sid: str | None = None) -> None:
        for wire in [self.sockets.get(sid)] if sid is not None else list(self.sockets.values()):
            if wire is not None:
                await self.hang_up(wire)

    async def hang_up(self, wire: Any) -> None:
        if wire.queue.qsize() >= _LONGEST_BACKLOG:
            while not wire.queue.empty():
                wire.queue.get_nowait()
        self.sockets.pop(wire.sid, None)
        await wire.close(wait=False, reason=self.reason.SERVER_DISCONNECT)
        wire.queue.put_nowait(None)  # the writer ends, and closes the WebSocket


class GuardedServer(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """`events` are the names that clients may send; others are ignored."""

    def __init__(
        self,
        events: Iterable[str],
        *,
        events_per_second: int,
        refuse: Callable[[str, str], None],
        origins: Callable[[str, dict[str, Any]], bool] | str,
    ) -> None:
        super().__init__(
            async_mode="asgi",
            cors_allowed_origins=origins,
            cors_credentials=origins != "*",
            max_http_buffer_size=LARGEST_MESSAGE_BYTES,
            json=_Json,
            logger=_quiet,
            engineio_logger=_quiet,
        )
        self._known_events = frozenset(events)
        self._events_per_second = float(events_per_second)
        self._refuse = refuse
        self._allowances: dict[str, Allowance] = {}

    def wire_of(self, sid: str) -> Any:
        """The Engine.IO socket of a Socket.IO client; None if it is closed."""
        wire = self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, "/"))
        return None if wire is None or wire.closing or wire.closed else wire

    def put(self, wire: Any, packet: EnginePacket) -> bool:
        """Have the packet sent. False: this client has not read for so long that it should be cut off."""
        if wire.closing or wire.closed:
            return True
        if wire.queue.qsize() >= _LONGEST_BACKLOG:
            return False
        wire.queue.put_nowait(packet)
        return True

    async def hang_up(self, wire: Any) -> None:
        """Close the connection below Socket.IO: the client takes it for a lost one and connects again."""
        await self.eio.hang_up(wire)

    def connections(self) -> list[Any]:
        return list(self.eio.sockets.values())

    def strangers(self, older_than_seconds: float) -> list[Any]:
        """Connections that nobody has logged in on for so long."""
        before = time.monotonic() - older_than_seconds
        known = {wire for sid in self.manager.rooms.get("/", {}).get(None, {}) if (wire := self.wire_of(sid))}
        return [
            wire
            for wire in self.connections()
            if wire not in known
            and ((allowance := self._allowances.get(wire.sid)) is None or allowance.opened_at < before)
        ]

    def _engineio_server_class(self) -> type[_Engine]:
        return _Engine

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        self._allowances[eio_sid] = Allowance(self._events_per_second)
        await super()._handle_eio_connect(eio_sid, environ)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._allowances.pop(eio_sid, None)
        self._binary_packet.pop(eio_sid, None)
        await super()._handle_eio_disconnect(eio_sid, reason)
        wire = self.eio.sockets.get(eio_sid)
        if wire is not None and reason == self.reason.CLIENT_DISCONNECT:
            # A long poll that is open ends with its client's goodbye; the library would hold it for 45 s, and with it
            # the stop of the process.
            wire.queue.put_nowait(None)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        allowance = self._allowances.get(eio_sid)
        wire = self.eio.sockets.get(eio_sid)
        if allowance is None or wire is None:
            return
        try:
            packet = self._packet(eio_sid, data)
            if packet is None:
                return
            name = self._event_of(packet)
        except _MALFORMED:
            await self.hang_up(wire)
            return
        if packet.packet_type == kinds.DISCONNECT:
            await self._handle_disconnect(eio_sid, packet.namespace, self.reason.CLIENT_DISCONNECT)
        elif not allowance.take():
            if allowance.excess > _FLOOD * allowance.per_second or packet.packet_type == kinds.CONNECT:
                await self.hang_up(wire)
            elif name in self._known_events:
                await self._refuse_event(eio_sid, packet, name)
        elif packet.packet_type == kinds.CONNECT:
            await self._handle_connect(eio_sid, packet.namespace, packet.data)
        elif name in self._known_events:
            await self._handle_event(eio_sid, packet.namespace, packet.id, packet.data)

    def _packet(self, eio_sid: str, data: Any) -> Any:
        """A whole packet; None: its attachments are still to come."""
        waiting = self._binary_packet.get(eio_sid)
        if waiting is not None:
            if not isinstance(data, bytes):
                raise ValueError("an attachment is missing")
            if not waiting.add_attachment(data):
                return None
            del self._binary_packet[eio_sid]
            return waiting
        if not isinstance(data, str):
            raise ValueError("an attachment without its packet")
        packet = self.packet_class(encoded_packet=data)
        if packet.attachment_count:
            if packet.attachment_count > _MOST_ATTACHMENTS or packet.packet_type != kinds.BINARY_EVENT:
                raise ValueError("too many attachments")
            self._binary_packet[eio_sid] = packet
            return None
        return packet

    @staticmethod
    def _event_of(packet: Any) -> str:
        """The event's name; empty for packets that are none."""
        if packet.packet_type in (kinds.CONNECT, kinds.DISCONNECT, kinds.ACK):
            return ""
        if packet.packet_type not in (kinds.EVENT, kinds.BINARY_EVENT):
            raise ValueError("a client does not send this")
        if not isinstance(packet.data, list) or not packet.data:
            raise ValueError("an event without a name")
        return packet.data[0] if isinstance(packet.data[0], str) else ""

    async def _refuse_event(self, eio_sid: str, packet: Any, name: str) -> None:
        sid = self.manager.sid_from_eio_sid(eio_sid, packet.namespace or "/")
        if sid is None or not self.manager.is_connected(sid, packet.namespace or "/"):
            return
        self._refuse(sid, name)
        if packet.id is not None:
            answer = [{"ok": False, "error": "rate_limited"}]
            await self._send_packet(
                eio_sid, self.packet_class(kinds.ACK, namespace=packet.namespace, id=packet.id, data=answer)
            )
