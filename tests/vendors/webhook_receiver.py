"""A receiver of callbacks and webhooks: a real HTTP server on this machine that answers as it is told and remembers.

with WebhookReceiver() as receiver:
    receiver.script(Reply(500), Reply(429, {"Retry-After": "7"}))     # then 204 for whatever follows
    ... receiver.url("/hook") ... receiver.received
"""

import contextlib
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """One answer. `wait_seconds` before it; `endless`: its body never ends; `drip_seconds`: a byte, a pause, and so
    on for ever; `cut`: the connection ends without an answer."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    endless: bool = False
    drip_seconds: float = 0.0
    cut: bool = False


@dataclass(frozen=True)
class Received:
    """One request as it came in; names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class WebhookReceiver:
    """Listens from `start` (or `with`) to `stop`. `tls`: speak HTTPS with this context."""

    def __init__(self, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.host = host
        self._tls = tls
        self._lock = threading.Condition()
        self._script: deque[Reply] = deque()
        self._received: list[Received] = []
        self._always = Reply()
        self._stopping = threading.Event()
        self.connections = 0
        self.bytes_written = 0

    def script(self, *replies: Reply) -> None:
        """Answer so, in this order; then as usual."""
        with self._lock:
            self._script.extend(replies)

    def always(self, reply: Reply) -> None:
        """What is usual from now on."""
        self._always = reply

    @property
    def received(self) -> list[Received]:
        with self._lock:
            return list(self._received)

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        """Block until so many requests have come in; returns them."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self._received) >= count, seconds), f"{len(self._received)} requests"
            return list(self._received)

    def url(self, path: str = "/hook", *, host: str = "") -> str:
        return f"{'https' if self._tls else 'http'}://{host or self.host}:{self.port}{path}"

    def start(self) -> None:
        self._server = _Server((self.host, 0), _Handler)
        self._server.receiver = self
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def pause(self, seconds: float) -> None:
        """Wait, at most until `stop`."""
        self._stopping.wait(seconds)

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def take(self, request: Received) -> Reply:
        """Remember the request; how to answer it."""
        with self._lock:
            self._received.append(request)
            self._lock.notify_all()
            return self._script.popleft() if self._script else self._always


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    receiver: WebhookReceiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no error of the receiver's."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.receiver.connections += 1

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = receiver.take(Received(self.command, self.path, headers, body, time.time()))
        receiver.pause(reply.wait_seconds)
        if reply.cut:
            return
        with contextlib.suppress(OSError):
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            while (reply.endless or reply.drip_seconds) and not receiver.stopping:
                self.wfile.write(b"x" * (4_096 if reply.endless else 1))
                receiver.bytes_written += 4_096 if reply.endless else 1
                receiver.pause(reply.drip_seconds)

    do_POST = do_GET = do_PUT = _answer
