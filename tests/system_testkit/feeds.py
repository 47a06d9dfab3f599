"""Settings and questions of the tests that bring leads in from outside."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
from vendors.people import email_of

from contactship_common.db import plain_url
from system_testkit.scene import Scene

_MIB = 1024 * 1024


def sources(**by_name: dict[str, Any]) -> dict[str, str]:
    """The environment in which these sources are configured, besides `randomuser`."""
    return {"SYNC_SOURCES": json.dumps(by_name)}


def trigger(scene: Scene, source: str, batch_size: int) -> str:
    """Start a run; returns the job's id."""
    answer = scene.call("POST", "/sync/trigger", 202, json={"source": source, "batchSize": batch_size})
    scene.accepted.append(answer["taskId"])
    return str(answer["id"])


def ended_job(scene: Scene, job_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
    """Wait for the end of a run, as a client would; returns it."""

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = scene.call("GET", f"/sync/jobs/{job_id}", 200, params={"limit": 1})
        return job if job["status"] in ("completed", "failed") else None

    job = scene.until(look, "the run to end", seconds=seconds)
    assert job is not None
    return job


def counters(job: dict[str, Any]) -> tuple[int, int, int, int]:
    """processed, created, skipped, failed"""
    return tuple(job[f"records{name}"] for name in ("Processed", "Created", "Skipped", "Failed"))  # type: ignore[return-value]


def assert_each_person_once(scene: Scene, total: int) -> None:
    """The feed's people and nobody else, each with a person, one event and, if its phone is the first, that phone."""
    emails = [row["email"] for row in scene.sql("SELECT email FROM leads")]
    assert len(emails) == total
    assert set(emails) == {email_of(number) for number in range(total)}
    assert scene.count("persons") == scene.count("lead_events WHERE type IN ('synced', 'created')") == total
    assert scene.count("lead_phones") == scene.sql("SELECT count(DISTINCT phone_e164) AS n FROM persons")[0]["n"]


def rss_mib(scene: Scene, name: str) -> float:
    """Memory of one process, without what it shares."""
    return float(psutil.Process(scene.stack.process(name).pid).memory_full_info().uss) / _MIB


def rows_a_second(scene: Scene, job_id: str) -> float:
    """How fast stored pages became leads: from the claim of each page to the claim of the fetch that its commit
    queued. (Times inside the transaction itself are those of its start.)"""
    [row] = scene.sql(
        "SELECT sum(rows) / extract(epoch FROM sum(next_claim - claimed_at)) AS rate FROM ("
        " SELECT kind, claimed_at, lead(claimed_at) OVER (ORDER BY id) AS next_claim, (result->>'created')::int AS rows"
        " FROM tasks WHERE subject_id = %(id)s) AS t WHERE kind = 'sync.apply' AND next_claim IS NOT NULL",
        id=job_id,
    )
    return float(row["rate"])


@contextmanager
def holding(scene: Scene, table: str) -> Iterator[None]:
    """Nobody can write to this table meanwhile."""
    with psycopg.connect(plain_url(scene.stack.database_url)) as connection:
        connection.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
        yield
