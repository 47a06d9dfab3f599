"""The parts of the benchmark that decide what it says: goals, the table of results, the client."""

import asyncio
from pathlib import Path

import pytest

from bench.client import Plan, encoded, storm
from bench.report import Goal, Section, write


@pytest.mark.parametrize(
    ("goal", "met", "verdict"),
    [
        (Goal("a", 90.0, at_least=80), True, "met, 12% to spare"),
        (Goal("a", 60.0, at_least=80), False, "**missed by 25%**"),
        (Goal("a", 45.0, below=50), True, "met, 10% to spare"),
        (Goal("a", 50.0, below=50), False, "**missed by 0%**"),
        (Goal("a", None, below=50), True, "not run"),
    ],
)
def test_a_goal_says_whether_it_was_met_and_by_how_much(goal: Goal, met: bool, verdict: str) -> None:
    assert (goal.met, goal.verdict) == (met, verdict)


def test_a_section_that_is_measured_again_replaces_its_own_goals_and_no_others(tmp_path: Path) -> None:
    results, order = tmp_path / "RESULTS.md", ("first", "second")
    write(results, "second", Section("Two", [], goals=[Goal("speed", 5, at_least=4)]), order)
    write(results, "first", Section("One", [], goals=[Goal("memory", 151, below=150)]), order)
    write(results, "first", Section("One", [], goals=[Goal("memory", 120, below=150)]), order)
    rows = [line for line in results.read_text().splitlines() if line.startswith("| ")]
    assert [[cell.strip() for cell in row.strip("|").split("|")][:2] for row in rows] == [
        ["section", "goal"],
        ["first", "memory"],
        ["second", "speed"],
    ]
    assert "missed" not in results.read_text()


def test_numbers_in_paths_and_bodies_rise_with_every_request() -> None:
    requests = encoded(Plan("http://host", "POST", ["/a/{n}", "/b"], body='{"n":{n}}', first=7))
    assert [next(requests).split(b"\r\n")[0] for _ in range(3)] == [
        b"POST /a/7 HTTP/1.1", b"POST /b HTTP/1.1", b"POST /a/9 HTTP/1.1"
    ]  # fmt: skip
    assert next(requests).endswith(b'Content-Length: 8\r\n\r\n{"n":10}')


async def test_every_request_is_sent_once_and_its_answer_counted_however_it_is_cut() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.read(65_536):
            asked.append(head.split(b" ")[1])
            for piece in (b"HTTP/1.1 201 Created\r\ncont", b"ent-length: 4\r\n\r", b"\nab", b"cd"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await storm(Plan(f"http://127.0.0.1:{port}", "GET", ["/{n}"], requests=40, connections=4))
    server.close()
    assert (outcome.requests, outcome.statuses) == (40, {"201": 40})
    assert sorted(asked) == sorted(f"/{n}".encode() for n in range(40))
