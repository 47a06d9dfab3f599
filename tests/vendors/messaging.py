"""The core of a simulated vendor of messages: threaded HTTP on this machine, scriptable, and it remembers.

`requests` is everything that was read; `messages` what the vendor took, and would have carried to a phone. A vendor
that takes a message and loses its answer is `Say(lose=…)`.
"""

import contextlib
import json
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self


@dataclass(frozen=True)
class Say:
    """One scripted answer. `status` 0: the usual one. `body`: instead of the vendor's own, a text as it is.

    `lose`: the message is taken, and then the connection is `reset`, `closed`, or held until `release` or the end
    (`hold`). `wait_seconds` before the answer.
    """

    status: int = 0
    code: int | str | None = None
    message: str = ""
    body: dict[str, Any] | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    lose: Literal["", "reset", "closed", "hold"] = ""


@dataclass(frozen=True)
class Request:
    """One request as it came in; names of headers are in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Taken:
    """A message that the vendor took. `fields` are those of the request."""

    id: str
    to: str
    text: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: dict[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


class MessagingServer:
    """A vendor on 127.0.0.1. Use it as a context manager; every method is thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._script: deque[Say] = deque()
        self._always = Say()
        self._requests: list[Request] = []
        self._messages: list[Taken] = []
        self._released = threading.Event()

    # The protocol, told by the subclasses.

    def refuse(self, request: Request) -> Answer | None:
        """The vendor's own answer to a request it does not understand or allow."""
        raise NotImplementedError

    def take(self, request: Request, number: int) -> Taken:
        """The message of a good request, the `number`th."""
        raise NotImplementedError

    def accepted(self, taken: Taken) -> Answer:
        """The usual answer."""
        raise NotImplementedError

    def error(self, say: Say) -> Answer:
        """A scripted refusal in the vendor's own shape."""
        raise NotImplementedError

    # Scripting and reading.

    def script(self, *says: Say) -> None:
        """Answer so, in this order; then as usual."""
        with self._lock:
            self._script.extend(says)

    def always(self, say: Say) -> None:
        """What is usual from now on."""
        self._always = say

    @property
    def requests(self) -> list[Request]:
        with self._lock:
            return list(self._requests)

    @property
    def messages(self) -> list[Taken]:
        with self._lock:
            return list(self._messages)

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Taken]:
        """Block until so many messages have been taken; returns them."""
        with self._lock:
            done = self._lock.wait_for(lambda: len(self._messages) >= count, seconds)
            assert done, f"{len(self._messages)} messages, {len(self._requests)} requests"
            return list(self._messages)

    def release(self) -> None:
        """Answer what is held."""
        self._released.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # Life.

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.vendor = self
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # One request.

    def handle(self, request: Request) -> tuple[Say, Answer]:
        refusal = self.refuse(request)
        with self._lock:
            self._requests.append(request)
            say = self._script.popleft() if self._script else self._always
            taken = None
            if refusal is None and (say.lose or say.status < 300):
                taken = self.take(request, len(self._messages) + 1)
                self._messages.append(taken)
            self._lock.notify_all()
        if refusal is not None:
            return Say(), refusal
        answer = self.error(say) if taken is None else self.accepted(taken)
        body = answer.body if say.body is None else say.body
        return say, Answer(say.status or answer.status, body, {**answer.headers, **say.headers})

    def hold(self) -> None:
        self._released.wait(120)

    def pause(self, seconds: float) -> None:
        self._released.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    vendor: MessagingServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no error of the vendor's."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        vendor = self.server.vendor
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        say, answer = vendor.handle(Request(self.path, headers, body))
        if say.lose == "hold":
            vendor.hold()
        vendor.pause(say.wait_seconds)
        if say.lose in ("reset", "closed"):
            if say.lose == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())  # RST, not FIN
            self.close_connection = True
            return
        is_json = not isinstance(answer.body, str)
        payload = (json.dumps(answer.body) if is_json else str(answer.body)).encode()
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            self.send_header("content-type", "application/json" if is_json else "text/html")
            self.send_header("content-length", str(len(payload)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)
