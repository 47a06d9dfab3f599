"""CSV imports through real processes: exact whoever dies, and whoever else writes at the same time."""

import csv
import io
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from csv_people import PeopleFile, people_file
from system_testkit import Scene, SceneFactory

pytestmark = pytest.mark.system

MIB = 1024 * 1024
VARIANTS = (
    {"encoding": "utf-8-sig", "delimiter": ";"},
    {"encoding": "cp1252", "delimiter": ","},
    {"encoding": "utf-16", "delimiter": "\t", "newline": "\n"},
)
Watch = Callable[[], object]


def start_import(scene: Scene, file: PeopleFile) -> dict[str, str]:
    form = {"file": ("people.csv", file.content, "text/csv")}
    accepted: dict[str, str] = scene.call("POST", "/leads/import", 202, files=form)
    scene.accepted.append(accepted["taskId"])
    return accepted


def dry_run(scene: Scene, file: PeopleFile) -> dict[str, Any]:
    form = {"file": ("people.csv", file.content, "text/csv")}
    told: dict[str, Any] = scene.call("POST", "/leads/import?dryRun=true", 200, files=form)
    return told


def counters(told: dict[str, Any]) -> tuple[int, int, int, int]:
    return told["recordsProcessed"], told["recordsCreated"], told["recordsSkipped"], told["recordsFailed"]


def finished(scene: Scene, import_id: str, watch: Watch = lambda: None, *, seconds: float = 60) -> list[dict[str, Any]]:
    """Everything an observer saw until the import ended, each state once."""
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        watch()
        told = scene.call("GET", f"/leads/imports/{import_id}", 200)
        if not seen or told["recordsProcessed"] != seen[-1]["recordsProcessed"] or told["status"] != seen[-1]["status"]:
            seen.append(told)
        return bool(told["status"] != "processing")

    scene.until(look, "the import to end", seconds=seconds)
    return seen


def errors_of(scene: Scene, import_id: str) -> dict[int, str]:
    answer = scene.http.get(f"{scene.stack.api_url}/api/v1/leads/imports/{import_id}/errors")
    assert answer.status_code == 200
    return {int(row["row"]): row["code"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))}


def assert_agreed(scene: Scene, file: PeopleFile, watch: Watch = lambda: None) -> dict[str, Any]:
    """Dry run, real run and what the file was made to do are the same; progress was visible."""
    tried = dry_run(scene, file)
    assert (tried["rows"], tried["wouldCreate"], tried["wouldSkip"], tried["failed"]) == file.counters
    shown = sorted(file.errors.items())[:50]
    assert [(error["row"], error["code"]) for error in tried["errors"]] == shown
    import_id = start_import(scene, file)["importId"]
    seen = finished(scene, import_id, watch)
    last = seen[-1]
    assert (last["status"], counters(last)) == ("completed", file.counters)
    for told in seen:
        processed, created, skipped, failed = counters(told)
        assert processed == created + skipped + failed
    assert any(0 < told["recordsProcessed"] < file.rows for told in seen)
    assert errors_of(scene, import_id) == file.errors
    assert scene.count("lead_import_pieces") == 0
    # Again: nobody is new now.
    tried = dry_run(scene, file)
    assert (tried["wouldCreate"], tried["wouldSkip"]) == (0, file.created + file.skipped)
    return last


def test_dry_run_and_import_agree_and_two_imports_race_twenty_requests(make_scene: SceneFactory) -> None:
    scene = make_scene("api", "scheduler", "sync_worker")
    for number, variant in enumerate(VARIANTS):
        assert_agreed(scene, people_file(3_000, name=f"v{number}-", **variant))
    [formula] = scene.sql("SELECT first_name FROM persons WHERE first_name LIKE '=%%' LIMIT 1")
    assert formula["first_name"] == '=HYPERLINK("http://evil.example")'

    before = scene.count("leads")
    one, two = people_file(3_000, name="Race"), people_file(3_000, name="rACE", encoding="cp1252", delimiter=";")
    ids = [start_import(scene, file)["importId"] for file in (one, two)]

    def post(n: int) -> int:
        body = {"name": "Ana Paz", "email": f" rAcE{n * 37}@EXAMPLE.com"}
        return scene.http.post(f"{scene.stack.api_url}/api/v1/leads", json=body).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(post, range(40)))
    assert set(statuses) <= {201, 409}
    imported = [finished(scene, import_id)[-1] for import_id in ids]
    assert [told["status"] for told in imported] == ["completed", "completed"]
    assert sum(told["recordsCreated"] for told in imported) + statuses.count(201) == scene.count("leads") - before
    assert scene.count("leads") == scene.count("persons")
    assert scene.sql("SELECT lower(email) FROM leads GROUP BY 1 HAVING count(*) > 1") == []
    assert {told["recordsProcessed"] for told in imported} == {3_000}
    scene.until_quiet()
    scene.assert_nothing_was_lost()


def test_a_worker_killed_again_and_again_gives_the_same_rows(make_scene: SceneFactory) -> None:
    scene = make_scene("api", "scheduler", "sync_worker", env={"TASK_LEASE": "1", "TASK_RING_AGAIN": "0.5"})
    file = people_file(8_000)
    accepted = start_import(scene, file)
    for more in (2, 4_000):
        scene.until(
            lambda more=more: scene.count("lead_imports WHERE next_row > %(more)s AND next_row > 2", more=more),
            "the import to come so far",
        )
        scene.stack.kill9("sync_worker")
        scene.stack.restart("sync_worker")
    last = finished(scene, accepted["importId"])[-1]
    assert (last["status"], counters(last)) == ("completed", file.counters)
    assert errors_of(scene, accepted["importId"]) == file.errors
    assert scene.count("leads") == scene.count("persons") == file.created
    assert scene.count("lead_events WHERE type = 'created'") == file.created
    scene.assert_nothing_was_lost()


def test_an_upload_that_is_too_large_or_breaks_off_leaves_nothing(make_scene: SceneFactory) -> None:
    scene = make_scene("api")
    line = b"Ana,ana@example.com,".ljust(1_023, b"x") + b"\n"
    too_large = b"name,email,notes\n" + line * (51 * 1_024)
    form = {"file": ("people.csv", too_large, "text/csv")}
    assert scene.call("POST", "/leads/import", 413, files=form)["code"] == "payload_too_large"

    address = urlsplit(scene.stack.api_url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/v1/leads/import HTTP/1.1\r\nHost: api\r\nContent-Length: 9000000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n"
            + f"x-api-key: {scene.stack.api_key}\r\n\r\n".encode()
            + b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nname,email,notes\n'
            + line * 3_000
        )
        scene.until(lambda: scene.count("lead_import_pieces") == 2, "two pieces to be stored as they arrive")
    scene.until(lambda: scene.count("lead_imports") == 0, "the draft to be deleted")
    assert scene.count("lead_import_pieces") == scene.count("tasks") == 0
    assert '"status": 500' not in scene.stack.logs("api")


@pytest.mark.chaos
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant["encoding"])
def test_a_hundred_thousand_rows_in_little_memory(make_scene: SceneFactory, variant: dict[str, str]) -> None:
    scene = make_scene("api", "scheduler", "sync_worker")
    processes = {name: psutil.Process(scene.stack.process(name).pid) for name in ("api", "sync_worker")}
    peak = dict.fromkeys(processes, 0)

    def watch() -> None:
        for name, process in processes.items():
            peak[name] = max(peak[name], process.memory_info().rss // MIB)

    watch()
    at_start = dict(peak)
    file = people_file(100_000, **variant)
    last = assert_agreed(scene, file, watch)
    watch()
    imported = dict(peak)
    with scene.http.stream("GET", f"{scene.stack.api_url}/api/v1/leads/export", timeout=120) as answer:
        exported = 0
        for part in answer.iter_bytes():
            exported += part.count(b"\n")  # not \r\n, which may be cut in two
            watch()
    assert exported == file.created + 1
    print(f"{variant}: {len(file.content) / MIB:.1f} MiB, {last['createdAt']} to {last['finishedAt']}")
    print(f"MiB at start {at_start}, after the import {imported}, after the export {peak}")
    assert max(peak.values()) < 200
