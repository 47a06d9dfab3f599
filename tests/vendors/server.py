"""The core of a simulated language-model vendor: plain asyncio HTTP/1.1 in a thread of its own, scriptable, counting.

In a test:            with OpenAIServer() as vendor: vendor.script(Say("rate_limited", retry_after="7"))
From another process: `python -m vendors.openai_server --port 9101 --latency 1.0`, then
    GET  /_calls            {"total", "in_flight", "peak", "by_subject", "by_kind"}; ?contains=text counts recent calls
    POST /_script           {"say": [{"kind": "server_error", "match": "lead-7", "times": 2}], "latency": 0.5}
    POST /_reset            forgets calls and scripts

Plain streams rather than a web framework: a benchmark's vendor must not eat the core that it measures.
"""

import argparse
import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

SUBJECT = r"\b(?:subject|lead|marker)-[0-9A-Za-z]+\b"
MAX_SUBJECTS = 200_000
MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 8 * 1024 * 1024

Body = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """One scripted answer. `match`: only for calls whose prompt contains it; `times`: how often, None for always.

    `text` is the model's raw text for kind "text"; `status` overrides the usual status of the kind; the hints go out
    as `Retry-After`, `retry-after-ms` or Gemini's RetryInfo; `latency` (seconds) replaces the server's.
    """

    kind: str
    match: str = ""
    times: int | None = 1
    text: str = ""
    status: int = 0
    retry_after: str = ""
    retry_after_ms: str = ""
    retry_info: str = ""
    latency: float | None = None


@dataclass(frozen=True)
class Call:
    """One call as it came in. `prompt` is all of its text, instructions included; `said` the kind of the answer."""

    path: str
    headers: Mapping[str, str]
    body: Body
    prompt: str
    said: str
    at: float


@dataclass(frozen=True)
class Answer:
    """What goes back over the wire; `cut` ends the connection without an answer, `hang` never answers."""

    status: int = 200
    body: Body | str = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    hang: bool = False


class VendorServer:
    """A vendor on 127.0.0.1. Start and stop it, or use it as a context manager; every method is thread safe."""

    vendor: ClassVar[str] = "vendor"

    def __init__(self, *, port: int = 0, latency: float = 0.0, keep: int = 1_000, subject: str = SUBJECT) -> None:
        self.port = port
        self.latency = latency
        self._subject = re.compile(subject, re.IGNORECASE)
        self._lock = threading.Lock()
        self._script: deque[tuple[Say, int | None]] = deque()
        self._calls: deque[Call] = deque(maxlen=keep)
        self._total = 0
        self._in_flight = self._peak = 0
        self._by_subject: Counter[str] = Counter()
        self._by_kind: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Transport] = set()

    # The protocol, told by the subclasses.

    def prompt_of(self, body: Body) -> str:
        """All text of a request."""
        raise NotImplementedError

    def answer(self, say: Say, path: str, body: Body) -> Answer:
        """The vendor's answer of that kind."""
        raise NotImplementedError

    def applies(self, say: Say, body: Body) -> bool:
        """Whether a scripted answer makes sense for this request."""
        return True

    # Scripting and reading.

    def script(self, *says: Say | str) -> None:
        """Queue answers; each is used `times` times, the first fitting one first. What follows is a valid answer."""
        with self._lock:
            for say in says:
                say = Say(say) if isinstance(say, str) else say
                self._script.append((say, say.times))

    def always(self, kind: str, **how: Any) -> None:
        """Answer so until `reset`."""
        self.script(Say(kind, times=None, **how))

    def behave(self) -> None:
        """Answer validly from now on; what was counted stays."""
        with self._lock:
            self._script.clear()

    def reset(self) -> None:
        """Forget calls and scripts."""
        with self._lock:
            self._script.clear()
            self._calls.clear()
            self._by_subject.clear()
            self._by_kind.clear()
            self._total = self._peak = 0

    @property
    def calls(self) -> list[Call]:
        """The latest calls (at most `keep`), oldest first."""
        with self._lock:
            return list(self._calls)

    @property
    def total(self) -> int:
        """How many calls came in since the start or the last reset."""
        with self._lock:
            return self._total

    def calls_about(self, subject: str) -> int:
        """How many calls named this subject (`lead-7`) somewhere in their text."""
        with self._lock:
            return self._by_subject[subject.lower()]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def counts(self, contains: str = "") -> Body:
        """What `GET /_calls` answers."""
        with self._lock:
            found: Body = {
                "total": self._total,
                "in_flight": self._in_flight,
                "peak": self._peak,
                "by_subject": dict(self._by_subject),
                "by_kind": dict(self._by_kind),
            }
            if contains:
                found["matching"] = sum(contains in call.prompt for call in self._calls)
            return found

    # Life.

    def start(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name=f"{self.vendor}-server", daemon=True)
        self._thread.start()
        if not ready.wait(5):
            raise RuntimeError(f"the {self.vendor} server did not start")
        return self

    def stop(self) -> None:
        if self._loop and self._thread:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            loop = self._loop = runner.get_loop()
            server = loop.run_until_complete(
                loop.create_server(lambda: _Http(self), "127.0.0.1", self.port, backlog=1024)
            )
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            loop.run_forever()
            server.close()
            for transport in list(self._connections):
                transport.abort()
            loop.run_until_complete(asyncio.sleep(0))

    # One call.

    def take(self, path: str, headers: Mapping[str, str], body: Body) -> Say:
        """Choose and record the answer to one call."""
        prompt = self.prompt_of(body)
        with self._lock:
            say = self._choose(prompt, body)
            self._total += 1
            self._in_flight += 1
            self._peak = max(self._peak, self._in_flight)
            self._by_kind[say.kind] += 1
            for subject in {found.lower() for found in self._subject.findall(prompt)}:
                if subject in self._by_subject or len(self._by_subject) < MAX_SUBJECTS:
                    self._by_subject[subject] += 1
            self._calls.append(Call(path, headers, body, prompt, say.kind, time.time()))
        return say

    def done(self) -> None:
        with self._lock:
            self._in_flight -= 1

    def _choose(self, prompt: str, body: Body) -> Say:
        for index, (say, left) in enumerate(self._script):
            if say.match in prompt and self.applies(say, body):
                if left is not None and left <= 1:
                    del self._script[index]
                else:
                    self._script[index] = (say, None if left is None else left - 1)
                return say
        return Say("ok")

    def control(self, path: str, query: Mapping[str, list[str]], body: Body) -> Body | None:
        """The little control interface; None for an unknown path."""
        if path == "/_calls":
            return self.counts(query.get("contains", [""])[0])
        if path == "/_script":
            self.script(*(Say(**say) for say in body.get("say", [])))
            self.latency = float(body.get("latency", self.latency))
            return {"latency": self.latency, "scripted": len(self._script)}
        if path == "/_reset":
            self.reset()
            return {}
        return None


class _Http(asyncio.Protocol):
    """Just enough HTTP/1.1 for the SDKs: keep-alive, Content-Length bodies, one request at a time a connection."""

    def __init__(self, server: VendorServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport:
            self._server._connections.discard(self._transport)
        self._transport = None
        if self._busy:
            self._busy = False
            self._server.done()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEADER_BYTES and self._transport:
                self._transport.abort()
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if length > MAX_BODY_BYTES and self._transport:
            self._transport.abort()
            return
        if len(self._buffer) < end + 4 + length:
            return
        raw = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        target = urlsplit(first.split(" ")[1])
        try:
            body = json.loads(raw) if raw else {}
        except ValueError:
            self._send(Answer(400, {"error": {"message": "We could not parse the JSON body of your request."}}))
            return
        if target.path.startswith("/_"):
            found = self._server.control(target.path, parse_qs(target.query), body)
            self._send(Answer(404 if found is None else 200, found or {}))
            return
        self._busy = True
        say = self._server.take(target.path, headers, body)
        wait = self._server.latency if say.latency is None else say.latency
        if wait:
            asyncio.get_running_loop().call_later(wait, self._reply, say, target.path, body)
        else:
            self._reply(say, target.path, body)

    def _reply(self, say: Say, path: str, body: Body) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        answer = self._server.answer(say, path, body)
        if answer.hang:
            return
        self._busy = False
        self._server.done()
        if answer.cut:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST, not FIN
            self._transport.abort()
            return
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        is_json = not isinstance(answer.body, str)
        payload = (json.dumps(answer.body) if is_json else str(answer.body)).encode()
        headers = {
            "content-type": "application/json" if is_json else "text/html",
            "content-length": str(len(payload)),
            **answer.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        if self._transport:
            self._transport.write(f"HTTP/1.1 {answer.status} Simulated\r\n{head}\r\n".encode("latin-1") + payload)
        if self._buffer:
            self._next()


def hint_headers(say: Say) -> dict[str, str]:
    """The hints that travel as headers."""
    given = {"retry-after": say.retry_after, "retry-after-ms": say.retry_after_ms}
    return {name: value for name, value in given.items() if value}


def run_standalone(make: type[VendorServer], arguments: Iterable[str] | None = None) -> None:
    """Serve until interrupted; prints the URL on the first line."""
    parser = argparse.ArgumentParser(description=make.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--keep", type=int, default=1_000, help="how many calls to remember in full")
    parser.add_argument("--subject", default=SUBJECT, help="regular expression for what is counted by subject")
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    server = make(**vars(options))
    with contextlib.suppress(KeyboardInterrupt), server:
        print(server.url, flush=True)
        threading.Event().wait()
