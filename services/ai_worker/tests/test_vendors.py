"""The simulated vendors themselves: system tests and benchmarks rely on them."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import vendors
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer
from vendors.server import Say, VendorServer


@pytest.mark.parametrize("make", [OpenAIServer, GeminiServer])
def test_a_server_starts_at_once_and_stops(make: type[VendorServer]) -> None:
    started = time.perf_counter()
    with make() as server:
        assert time.perf_counter() - started < 0.3
        assert _http(f"{server.url}/_calls")["total"] == 0


def test_scripts_are_used_in_order_then_answers_are_valid() -> None:
    with OpenAIServer() as server:
        server.script(Say("refusal", match="Ana", times=2), "empty")
        kinds = [_ask(server.url, name) for name in ("Ana", "Eva", "Ana", "Ana")]
        assert [call.said for call in server.calls] == ["refusal", "empty", "refusal", "ok"]
        assert len(kinds) == 4


def test_memory_is_bounded_while_counts_go_on() -> None:
    with OpenAIServer(keep=3) as server:
        for number in range(5):
            _ask(server.url, f"lead-{number % 2}")
        assert (len(server.calls), server.total) == (3, 5)
        assert server.calls_about("lead-0") == 3


def test_other_processes_can_script_it_and_read_its_counts() -> None:
    with _standalone("vendors.openai_server") as url:
        _http(f"{url}/_script", {"say": [{"kind": "refusal", "match": "lead-7", "times": None}], "latency": 0.01})
        assert _ask(url, "lead-7")["choices"][0]["message"]["refusal"]
        assert _ask(url, "lead-8")["choices"][0]["message"]["content"]
        counts = _http(f"{url}/_calls?contains=lead-7")
        assert counts["by_subject"] == {"lead-7": 1, "lead-8": 1}
        assert (counts["total"], counts["matching"], counts["in_flight"]) == (2, 1, 0)
        assert counts["by_kind"] == {"refusal": 1, "ok": 1}
        _http(f"{url}/_reset", {})
        assert _http(f"{url}/_calls")["total"] == 0


@contextmanager
def _standalone(module: str) -> Iterator[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(vendors.__file__).parent.parent)}
    process = subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(5)
        process.stdout.close()


def _ask(url: str, text: str) -> Any:
    return _http(f"{url}/v1/chat/completions", {"messages": [{"role": "user", "content": text}]})


def _http(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=5) as response:
        return json.load(response)
