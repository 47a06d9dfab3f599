"""Clients of the mixed load notice what they should never be told, and ask again where that is right."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from chaos_testkit import Row, render
from chaos_testkit.clients import Door, Told


class _Answers(BaseHTTPRequestHandler):
    """Gives what the test has scripted: a status and a body, or a connection that breaks (status 0)."""

    script: list[tuple[int, str]]
    keys: list[str]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.keys.append(self.headers["idempotency-key"])
        status, body = self.script.pop(0)
        if not status:
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[Door]:
    _Answers.script, _Answers.keys = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        door = Door(f"http://127.0.0.1:{server.server_address[1]}", "key", Told(), threading.Event(), "a")
        yield door
        door.close()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [500, 502, 409, 422])
def test_an_answer_that_nobody_should_get_is_noted(door: Door, status: int) -> None:
    _Answers.script = [(status, '{"code": "internal_error"}')]
    assert door.post("/leads", {}) is None
    assert door.told.wrong == [f"POST /leads: {status} internal_error"]


def test_a_broken_connection_and_a_503_are_asked_again_with_the_same_key(door: Door) -> None:
    _Answers.script = [(0, ""), (503, "{}"), (409, '{"code": "idempotency_in_progress"}'), (201, '{"id": "1"}')]
    assert door.post("/leads", {}) == {"id": "1"}
    assert door.told.statuses == {None: 1, 503: 1, 409: 1, 201: 1}
    assert (door.told.wrong, len(set(_Answers.keys)), len(_Answers.keys)) == ([], 1, 4)


def test_another_answer_to_the_same_key_is_noted(door: Door) -> None:
    _Answers.script = [(201, '{"id": "1"}'), (201, '{"id": "2"}')]
    door.post("/leads", {}, twice=True)
    assert door.told.wrong == ["POST /leads: another answer to the same request"]


def test_the_table_marks_what_was_not_survived() -> None:
    good = Row("flushed", 10, 1, 2, 0, 0, 0, 0, 1.25)
    rows = [good, Row("killed", 10, 0, 0, 1, 0, 0, 0, 1.0), Row("late", 10, 0, 0, 0, 0, 0, 0, 9.0, at_most_s=8.0)]
    assert [row.good for row in rows] == [True, False, False]
    _, first, second, third = render(rows).splitlines()
    assert first.split() == ["flushed", "10", "1", "2", "0", "0", "0", "0", "1.2", "s"]
    assert second.startswith("✗ killed")
    assert third.startswith("✗ late")
