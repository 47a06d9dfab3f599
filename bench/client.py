"""The client of the benchmark: HTTP/1.1 over a fixed number of connections, each with one request at a time.

Bundled and of little work, for it shares the machine with what it measures: `wrk` costs less, but is not everywhere. It
runs in a process of its own, `python -m bench.client`, with a `Plan` as JSON on stdin and an `Outcome` on stdout.
"""

import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count, cycle
from typing import cast
from urllib.parse import urlsplit

import uvloop

_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`paths` go round; in them and in `body` `{n}` becomes a number that rises with every request from `first`."""

    url: str
    method: str
    paths: list[str]
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    requests: int = 1_000
    connections: int = 32
    first: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds` from the first request to the last answer; times of single requests in milliseconds."""

    seconds: float
    statuses: dict[str, int]
    median_ms: float
    p95_ms: float
    client_cpu_seconds: float

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def only(self, *expected: int) -> bool:
        """Whether nothing else was answered than these statuses."""
        return set(self.statuses) <= {str(status) for status in expected}


def encoded(plan: Plan) -> Iterator[bytes]:
    """The requests as they go over the wire, without end."""
    shared = {"Host": urlsplit(plan.url).netloc, **plan.headers}
    for n, path in zip(count(plan.first), cycle(plan.paths), strict=False):
        body = plan.body.replace("{n}", str(n)).encode()
        headers = {**shared, "Content-Length": str(len(body))} if body or plan.method != "GET" else shared
        lines = [f"{plan.method} {path.replace('{n}', str(n))} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        yield "\r\n".join([*lines, "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, storm: "_Storm") -> None:
        self._storm = storm
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = self._buffer[end + 4 + length :]
        self._storm.answered(int(head[9:12]), time.perf_counter() - self._sent_at)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._storm.lost(error)

    def _next(self) -> None:
        request = self._storm.take()
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)


class _Storm:
    def __init__(self, plan: Plan) -> None:
        self._requests = encoded(plan)
        self._left = self._unanswered = plan.requests
        self.statuses: Counter[int] = Counter()
        self.times: list[float] = []
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self) -> bytes | None:
        if not self._left:
            return None
        self._left -= 1
        return next(self._requests)

    def answered(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.times.append(seconds)
        self._unanswered -= 1
        if not self._unanswered and not self.finished.done():
            self.finished.set_result(None)

    def lost(self, error: Exception | None) -> None:
        if self._unanswered and self._left == 0 and error is None:
            return
        if self._unanswered and not self.finished.done():
            self.finished.set_exception(error or ConnectionError("the server closed a connection"))


async def storm(plan: Plan) -> Outcome:
    """All requests of the plan.

    Raises:
        OSError: a connection could not be made, or was lost.
        TimeoutError: nothing was answered for a minute.
    """
    where, loop = urlsplit(plan.url), asyncio.get_running_loop()
    running, cpu, begun = _Storm(plan), sum(os.times()[:2]), time.perf_counter()
    for _ in range(min(plan.connections, plan.requests)):
        await loop.create_connection(lambda: _Connection(running), where.hostname or "", where.port or 80)
    while not running.finished.done():
        before = len(running.times)
        await asyncio.wait({running.finished}, timeout=_ANSWER_SECONDS)
        if not running.finished.done() and len(running.times) == before:
            raise TimeoutError(f"{plan.url} answered {before} requests and no more")
    running.finished.result()
    seconds, times = time.perf_counter() - begun, sorted(running.times)
    return Outcome(
        seconds,
        {str(status): number for status, number in running.statuses.items()},
        times[len(times) // 2] * 1_000,
        times[math.ceil(0.95 * len(times)) - 1] * 1_000,
        sum(os.times()[:2]) - cpu,
    )


def run_apart(plan: Plan) -> Outcome:
    """The same in a process of its own, so that the caller's work does not count.

    Raises:
        RuntimeError: it ended badly; says how.
    """
    command = [sys.executable, "-m", "bench.client"]
    ended = subprocess.run(command, input=json.dumps(asdict(plan)), capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"the client failed: {ended.stderr.strip().splitlines()[-1:]}")
    return Outcome(**json.loads(ended.stdout))


if __name__ == "__main__":
    json.dump(asdict(uvloop.run(storm(Plan(**json.load(sys.stdin))))), sys.stdout)
