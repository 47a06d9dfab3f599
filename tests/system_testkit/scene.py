"""A running system as a test sees it: HTTP in front, the database behind, and what must hold afterwards."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import httpx
import psycopg
from psycopg.rows import dict_row

from contactship_common.db import plain_url
from contactship_devstack.polling import poll
from contactship_devstack.stack import Stack

T = TypeVar("T")

FAST = {
    "TASK_RING_AGAIN": "2",
    "TASK_BACKOFF": "0.2",
    "HEARTBEAT_INTERVAL": "1",
    "SHUTDOWN_GRACE": "5",
    "DISPATCHER_TICK": "0.1",
}
"""Every duration scaled down: recovery takes seconds and is recovery all the same."""

SHORT_LEASE = {"TASK_LEASE": "3"}
"""For tests of lost workers only: on a machine busy with other tests a live worker may be three seconds late."""

_numbers = itertools.count(1)

_INSERT_LEADS = """
WITH people AS (
     INSERT INTO persons (id, first_name, last_name)
     SELECT gen_random_uuid(), 'lead-' || (%(first)s + n), 'Prueba' FROM generate_series(0, %(count)s - 1) AS n
     RETURNING id, first_name)
INSERT INTO leads (id, person_id, email, source, status, search_text, name_sort, version)
SELECT gen_random_uuid(), id, first_name || '@example.com', 'csv', 'new', first_name, first_name, 1 FROM people
RETURNING id, search_text AS name
"""

_INSERT_TASKS = """
INSERT INTO tasks (id, kind, queue, priority, payload, subject_id, slot, holds, rerun, status, run_no, failures,
                   max_attempts)
SELECT gen_random_uuid(), 'lead.summary', 'ai', 100, jsonb_build_object('lead_id', id), id, 'lead.summary:' || id,
       'ended', false, 'queued', 0, 0, 3 FROM leads
"""


class Scene:
    """`accepted` holds the id of every task that the API has promised to do."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.http = httpx.Client(headers={"x-api-key": stack.api_key}, timeout=30)
        self.accepted: list[str] = []
        self._connection: psycopg.Connection[dict[str, Any]] | None = None

    def close(self) -> None:
        self.http.close()
        self.reconnect()

    def reconnect(self) -> None:
        """Drop the connection that a restarted server has cut; the next statement opens another."""
        if self._connection is not None:
            self._connection.close()

    # The database.

    def sql(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run one statement, committed at once."""
        if self._connection is None or self._connection.closed:
            url = plain_url(self.stack.database_url)
            self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        cursor = self._connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def count(self, table_and_condition: str, **parameters: Any) -> int:
        return int(self.sql(f"SELECT count(*) AS n FROM {table_and_condition}", **parameters)[0]["n"])

    def task(self, task_id: str) -> dict[str, Any]:
        [row] = self.sql("SELECT * FROM tasks WHERE id = %(id)s", id=task_id)
        return row

    def insert_leads(self, count: int) -> dict[str, str]:
        """Leads straight into the table; returns their ids by name (`lead-7`)."""
        first = next(_numbers)
        for _ in range(count - 1):
            next(_numbers)
        return {row["name"]: str(row["id"]) for row in self.sql(_INSERT_LEADS, first=first, count=count)}

    def insert_tasks(self) -> int:
        """A queued summary for every lead, as a backlog that nobody rang; returns how many."""
        self.sql(_INSERT_TASKS)
        return self.count("tasks WHERE status = 'queued'")

    # The API.

    def call(self, method: str, path: str, expected: int, **options: Any) -> Any:
        """One request under /api/v1; asserts the status and returns the JSON."""
        answer = self.http.request(method, f"{self.stack.api_url}/api/v1{path}", **options)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def make_lead(self, **fields: Any) -> tuple[str, str]:
        """A new lead through the API; returns its id and the name under which vendors count it."""
        name = f"lead-{next(_numbers)}"
        body = {"firstName": name, "lastName": "Prueba", "email": f"{name}@example.com", **fields}
        return str(self.call("POST", "/leads", 201, json=body)["id"]), name

    def lead(self, lead_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/leads/{lead_id}", 200)
        return found

    def summarize(self, lead_id: str, *, force: bool = False) -> str:
        """Ask for a summary; returns the id of the task that was promised."""
        query = {"force": "true"} if force else {}
        answer = self.call("POST", f"/leads/{lead_id}/summarize", 202, params=query)
        self.accepted.append(answer["taskId"])
        return str(answer["taskId"])

    def ended(self, task_id: str, *, seconds: int = 20) -> dict[str, Any]:
        """Wait for the task through the API, as a client would; returns it."""
        told: dict[str, Any] = self.call("GET", f"/tasks/{task_id}", 200, params={"wait": seconds})
        assert told["status"] in {"completed", "failed", "cancelled"}, f"{told}\n{self.stack.tail()}"
        return told

    # Waiting and judging.

    def until(self, condition: Callable[[], T], what: str, *, seconds: float = 20.0) -> T:
        return poll(condition, timeout_s=seconds, what=what, interval_s=0.03)

    def until_quiet(self, seconds: float = 30.0) -> None:
        """Wait until every task has ended."""
        self.until(lambda: not self.open_tasks(), "all tasks to end", seconds=seconds)

    def open_tasks(self) -> int:
        return self.count("tasks WHERE status IN ('queued', 'running')")

    def outcomes(self, task_id: str) -> list[str]:
        """`provider:outcome` of every call that was made for this task, in their order."""
        rows = self.sql(
            "SELECT provider, outcome FROM ai_calls WHERE task_id = %(id)s ORDER BY created_at, id", id=task_id
        )
        return [f"{row['provider']}:{row['outcome']}" for row in rows]

    def story(self) -> str:
        """How runs and calls went, for the message of a failed assertion."""
        runs = self.sql("SELECT kind, status, run_no, failures, count(*) AS n FROM tasks GROUP BY 1, 2, 3, 4")
        calls = self.sql("SELECT provider, outcome, error_code, count(*) AS n FROM ai_calls GROUP BY 1, 2, 3")
        return "\n".join(" ".join(map(str, row.values())) for row in (*runs, *calls))

    def assert_nothing_was_lost(self) -> None:
        """Every accepted request has its row, every task ended, nothing is held, nothing is stored twice."""
        known = {str(row["id"]) for row in self.sql("SELECT id FROM tasks")}
        assert set(self.accepted) <= known
        held = self.sql(
            "SELECT id, status, slot, lease_until FROM tasks WHERE status IN ('queued', 'running')"
            " OR slot IS NOT NULL OR lease_until IS NOT NULL OR finished_at IS NULL"
        )
        assert held == []
        assert self.count("tasks WHERE status = 'succeeded' AND result IS NULL") == 0

    def assert_summarised_once(self, lead_ids: Sequence[str]) -> None:
        """Each of these leads has a summary that was stored by exactly one run."""
        rows = self.sql(
            "SELECT leads.id, summary, (SELECT count(*) FROM lead_events e WHERE e.lead_id = leads.id"
            " AND e.type = 'summarized') AS stored FROM leads WHERE id = ANY(%(ids)s::uuid[])",
            ids=list(lead_ids),
        )
        assert len(rows) == len(lead_ids)
        wrong = [row for row in rows if row["summary"] is None or row["stored"] != 1]
        assert wrong == []


def calls_per_lead(by_subject: dict[str, int], names: Sequence[str]) -> Counter[int]:
    """How many leads were asked about how often: `{1: 300}` is one paid call for each of 300."""
    return Counter(by_subject.get(name, 0) for name in names)


class SceneFactory(Protocol):
    def __call__(
        self, *kinds: str, env: dict[str, str] | None = None, own_postgres: bool = False, **counts: int
    ) -> Scene:
        """A scene of this test alone: `make_scene("api", "scheduler", ai_worker=2)`, with scaled-down durations."""
