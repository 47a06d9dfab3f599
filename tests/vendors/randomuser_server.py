"""A lead source that speaks randomuser.me's protocol, with every trouble such a source can make, and a big feed.

    with RandomUserServer() as vendor:
        RANDOMUSER_URL=vendor.url + "/api/"         good people, others at every call; `?seed=x`: the same at every call
    /rough/                 of every fifty four cannot be used and one is there twice
    /error/ /html/ /shape/ /teapot/                 200 with {"error"}, HTML, a wrong shape; status 418
    /500/ /hang/ /cut/ /redirect/                   fails, never answers, breaks off, sends elsewhere
    /endless/ /huge/ /trickle/ /zip/                a body without end, of 100 MB, a byte at a time, compressed
    /flaky/?fails=2                                 so many 500s a path and query, then good people
    /limited/?fails=1&after=1                       so many 429s with Retry-After, then good people
    /feed/pages?page=1&limit=50&total=100000        {"data": {"items": [...]}}
    /feed/cursor?cursor=&limit=50&total=100000      {"rows": [...], "meta": {"next": ...}}
    /feed/circle?page=1                             the same page whatever is asked for
From another process: `python -m vendors.randomuser_server --port 9103`.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import threading
from collections import Counter
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from vendors.people import person, rough_person, row

_HUGE_BYTES = 100_000_000
_CHUNK = b"[" + b" " * 65_535
_TRICKLE_SECONDS = 0.02


class RandomUserServer:
    """Start and stop it, or use it as a context manager. `calls` counts requests by path, `queries` lists what
    was asked."""

    def __init__(self, *, port: int = 0) -> None:
        self.port = port
        self.calls: Counter[str] = Counter()
        self.queries: list[str] = []
        self._failed: Counter[str] = Counter()
        self._batches = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def forget(self) -> None:
        """Forget calls and which failures were told already."""
        self.calls.clear()
        self.queries.clear()
        self._failed.clear()

    def start(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="randomuser-server", daemon=True)
        self._thread.start()
        if not ready.wait(5):
            raise RuntimeError("the randomuser server did not start")
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
            server = loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=256))
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            loop.run_forever()
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            target = urlsplit(head.split(" ", 2)[1])
            self.calls[target.path] += 1
            self.queries.append(target.query)
            query = {name: values[0] for name, values in parse_qs(target.query, keep_blank_values=True).items()}
            await self._answer(target.path, target.query, query, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client has had enough, which is what several of these answers are for
        finally:
            writer.close()

    async def _answer(self, path: str, raw_query: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        kind = path.strip("/")
        fails = int(query.get("fails", 0))
        if fails > self._failed[path + raw_query]:
            self._failed[path + raw_query] += 1
            after = {"Retry_After": query["after"]} if "after" in query else {}
            await _send(writer, {"error": "busy"}, 429 if kind == "limited" else 500, **after)
        elif kind in ("api", "flaky", "limited"):
            await _send(writer, self._people(query, person))
        elif kind == "rough":
            await _send(writer, self._people(query, rough_person))
        elif kind.startswith("feed/"):
            await _send(writer, _feed(kind.removeprefix("feed/"), query))
        else:
            await _make_trouble(kind, writer)

    def _people(self, query: dict[str, str], make: Any) -> dict[str, Any]:
        count = int(query.get("results", 1))
        start = 0
        if "seed" not in query:
            start, self._batches = self._batches * 10_000, self._batches + 1
        return {
            "results": [make(start + n) for n in range(count)],
            "info": {"seed": query.get("seed", "random"), "results": count, "page": 1, "version": "1.4"},
        }


def _feed(kind: str, query: dict[str, str]) -> dict[str, Any]:
    limit, total = int(query.get("limit", 50)), int(query.get("total", 100_000))
    if kind == "circle":
        return {"data": {"items": [row(n) for n in range(3)]}}
    if kind == "pages":
        start = (int(query.get("page", 1)) - 1) * limit
        return {"data": {"items": [row(n) for n in range(start, min(start + limit, total))]}}
    start = int(query.get("cursor") or 0)
    end = min(start + limit, total)
    return {"rows": [row(n) for n in range(start, end)], "meta": {"next": str(end) if end < total else None}}


async def _make_trouble(kind: str, writer: asyncio.StreamWriter) -> None:
    if kind == "error":
        await _send(writer, {"error": "Uh oh, something has gone wrong. Please tweet us @randomapi about the issue."})
    elif kind == "html":
        await _send(writer, "<!doctype html><title>Just a moment...</title>")
    elif kind == "shape":
        await _send(writer, {"results": {"0": person(0)}})
    elif kind == "teapot":
        await _send(writer, {}, 418)
    elif kind == "redirect":
        await _send(writer, "", 302, Location="http://169.254.169.254/latest/meta-data/")
    elif kind == "zip":
        body = gzip.compress(b'{"results": []}')
        await _write(writer, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + body)
    elif kind == "hang":
        await asyncio.sleep(3_600)
    elif kind == "cut":
        await _write(writer, b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n{"resul')
    elif kind == "trickle":
        await _write(writer, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[")
        while True:
            await _write(writer, b" ")
            await asyncio.sleep(_TRICKLE_SECONDS)
    elif kind in ("endless", "huge"):
        length = f"Content-Length: {_HUGE_BYTES}\r\n" if kind == "huge" else ""
        await _write(writer, f"HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n".encode())
        left = _HUGE_BYTES
        while kind == "endless" or left > 0:
            await _write(writer, _CHUNK[: min(left, len(_CHUNK))] if kind == "huge" else _CHUNK)
            left -= len(_CHUNK)
    else:
        await _send(writer, {"error": "500" if kind == "500" else "no such path"}, 500 if kind == "500" else 404)


async def _send(writer: asyncio.StreamWriter, body: Any, status: int = 200, **headers: str) -> None:
    is_text = isinstance(body, str)
    payload = (body if is_text else json.dumps(body)).encode()
    sent = {
        "Content-Type": "text/html" if is_text else "application/json",
        "Content-Length": str(len(payload)),
        "Connection": "close",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    await _write(writer, f"HTTP/1.1 {status} Simulated\r\n{head}\r\n".encode("latin-1") + payload)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def main() -> None:
    """Serve until interrupted; prints the URL on the first line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt), RandomUserServer(port=parser.parse_args().port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
