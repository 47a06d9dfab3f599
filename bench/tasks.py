"""What tasks cost: no-op tasks and idle latency, model calls of one second, and a sync of many people. Real processes.

Processor time is told beside the rates: it means something on a busy machine, too."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import httpx
import psutil
import psycopg

from bench.http import make_leads
from bench.kpis import PRODUCTION_LIKE, production_like_server
from bench.report import Goal, Options, Section
from bench.worker import Nothing, OneSecond
from contactship_common.migrate import upgrade
from contactship_common.runtime import Runtime
from contactship_common.settings import CoreSettings
from contactship_common.tasks.catalog import LeadSummary, TaskKind
from contactship_common.uow import RING_AT_MOST, unit_of_work
from contactship_devstack.guard import Guard
from contactship_devstack.polling import free_port, poll
from contactship_devstack.stack import Stack
from contactship_devstack.valkey import temporary_server as temporary_valkey

TASKS_A_REQUEST, CALLS_A_REQUEST, IDLE_ROUNDS = 150, 60, 60
"""Times the option `--requests` (60): 9,000 tasks, 3,600 calls."""

# From profiles; look again before believing them.
_WHY_NOTHING = "one core of Python. Dramatiq's threads and acknowledgements take a third of it."
_WHY_SDK = "one core of Python. The SDK takes a third of it, recording a result in one transaction another."
_WHY_SYNC = "pages are applied one after the other. PostgreSQL takes half the time of one, phone numbers a fifth."

PAGES = 20
PATIENCE_SECONDS = 300
_TESTS = Path(__file__).parents[1] / "tests"

# Of the middle four fifths: how fast it goes, not how fast it begins and ends.
_RATE = """
WITH ended AS (SELECT finished_at, ntile(10) OVER (ORDER BY finished_at) AS tenth FROM tasks
                WHERE kind = %(kind)s AND status = 'succeeded')
SELECT count(*) / extract(epoch FROM max(finished_at) - min(finished_at)) FROM ended WHERE tenth BETWEEN 2 AND 9
"""
_WAITED = """
SELECT 1000 * extract(epoch FROM claimed_at - created_at) FROM tasks WHERE kind = %(kind)s AND status = 'succeeded'
"""
# From the claim of each page to the claim of the fetch that its commit queued.
_SYNC_RATE = """
SELECT sum(rows) / extract(epoch FROM sum(next_claim - claimed_at)) FROM (
       SELECT kind, claimed_at, lead(claimed_at) OVER (ORDER BY id) AS next_claim, (result->>'created')::int AS rows
         FROM tasks WHERE subject_id = %(job)s) AS t WHERE kind = 'sync.apply' AND next_claim IS NOT NULL
"""


class _Scene:
    """A fresh database, Redis, and Contactship's processes."""

    def __init__(self, url: str, redis_url: str, stack: Stack) -> None:
        self.url, self.redis_url, self.stack = url, redis_url, stack

    def one(self, sql: str, **values: Any) -> Any:
        rows = self.all(sql, **values)
        return rows[0][0] if rows else None

    def all(self, sql: str, **values: Any) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def until_done(self, kind: str) -> None:
        left = "SELECT count(*) FROM tasks WHERE kind = %(kind)s AND status IN ('queued', 'running')"
        poll(lambda: not self.one(left, kind=kind), timeout_s=PATIENCE_SECONDS, what=f"all {kind} to end")

    async def enqueue(self, tasks: list[TaskKind], *, together: int = RING_AT_MOST) -> None:
        """As a gateway does it, `together` in one transaction, the workers rung after each."""
        runtime = Runtime(CoreSettings(database_url=self.url, redis_url=self.redis_url))
        await runtime.open()
        try:
            for first in range(0, len(tasks), together):
                async with unit_of_work(runtime) as uow:
                    for task in tasks[first : first + together]:
                        uow.enqueue(task)
        finally:
            await asyncio.to_thread(runtime.bell.stop, 60)
            await runtime.close()


@contextmanager
def _scene(env: dict[str, str] | None = None) -> Iterator[_Scene]:
    guard = Guard()
    with (
        production_like_server() as postgres,
        temporary_valkey(guard) as valkey,
        tempfile.TemporaryDirectory(prefix="contactship-bench-") as folder,
    ):
        url = postgres.create_database("contactship")
        upgrade(url)
        own = {"ENVIRONMENT": "staging", **(env or {})}
        with Stack(database_url=url, redis_url=valkey.url, folder=Path(folder), env=own, guard=guard) as stack:
            yield _Scene(url, valkey.url, stack)
    guard.close()


@contextmanager
def _bench_worker(scene: _Scene) -> Iterator[psutil.Process]:
    port = free_port()
    env = {**scene.stack.env, "WORKER_HEALTH_PORT": str(port)}
    with (scene.stack.folder / "bench_worker.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.worker"], env=env, cwd=_TESTS.parent, stderr=log, stdout=log
        )

    def ready() -> bool:
        if child.poll() is not None:
            raise RuntimeError((scene.stack.folder / "bench_worker.log").read_text()[-2_000:])
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        poll(ready, timeout_s=60, what="the worker")
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(40)


@contextmanager
def _vendor(module: str, *options: str) -> Iterator[str]:
    """A simulated vendor of the tests, in a process of its own; its address."""
    child = subprocess.Popen(
        [sys.executable, "-m", module, *options],
        cwd=_TESTS,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.terminate()
        child.wait(10)
        child.stdout.close()


def _cpu(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))


async def _nothing(section: Section, count: int) -> None:
    with _scene() as scene:
        scene.stack.start("scheduler")
        with _bench_worker(scene) as worker:
            for _ in range(IDLE_ROUNDS):
                await scene.enqueue([Nothing()])
                await asyncio.to_thread(scene.until_done, Nothing.KIND)
            idle = sorted(float(row[0]) for row in scene.all(_WAITED, kind=Nothing.KIND))
            scene.all("DELETE FROM tasks RETURNING id")
            before = _cpu(worker)
            await scene.enqueue([Nothing() for _ in range(count)])
            await asyncio.to_thread(scene.until_done, Nothing.KIND)
            cpu = 1_000 * (_cpu(worker) - before) / count
            rate = float(scene.one(_RATE, kind=Nothing.KIND))
            before = _cpu(worker)
            waits: list[TaskKind] = [OneSecond() for _ in range(count // 2)]
            await scene.enqueue(waits)
            await asyncio.to_thread(scene.until_done, OneSecond.KIND)
            cpu_second = 1_000 * (_cpu(worker) - before) / len(waits)
            bare = float(scene.one(_RATE, kind=OneSecond.KIND))
    section.table += [
        [f"{count:,} no-op tasks", f"{rate:,.0f}", f"{cpu:.2f}"],
        [f"{len(waits):,} model calls of 1 s, bare adapter", f"{bare:,.0f}", f"{cpu_second:.2f}"],
    ]
    section.remarks.append(f"Idle: {median(idle):.1f} ms from the commit to the claim (median of {len(idle)}).")
    section.goals += [
        Goal("no-op tasks, one worker process", rate, at_least=800, unit="tasks/s", why=_WHY_NOTHING),
        Goal("created to claimed when idle, p50", median(idle), below=30, unit="ms"),
        Goal("model calls of 1 s, bare adapter", bare, at_least=230, unit="calls/s"),
    ]


async def _with_the_sdk(section: Section, count: int) -> None:
    with _vendor("vendors.openai_server", "--latency", "1.0", "--keep", "10") as vendor:
        env = {"OPENAI_API_KEY": "sk-bench", "OPENAI_BASE_URL": f"{vendor}/v1", "AI_PROVIDERS": "openai"}
        with _scene(env) as scene:
            scene.stack.start("scheduler", "ai_worker")
            leads = make_leads(scene.url, "summarised", count)
            worker = psutil.Process(scene.stack.process("ai_worker").pid)
            before = _cpu(worker)
            await scene.enqueue([LeadSummary(lead_id=UUID(lead)) for lead in leads])
            await asyncio.to_thread(scene.until_done, LeadSummary.KIND)
            cpu = 1_000 * (_cpu(worker) - before) / count
            rate = float(scene.one(_RATE, kind=LeadSummary.KIND) or 0)
    section.table.append([f"{count:,} summaries by model calls of 1 s, OpenAI SDK", f"{rate:,.0f}", f"{cpu:.2f}"])
    goal = Goal("model calls of 1 s, OpenAI SDK", rate, at_least=140, unit="calls/s", why=_WHY_SDK)
    section.goals.append(goal)


def _source(vendor: str, people: int) -> dict[str, str]:
    fields = {
        "name": "full_name", "email": "contact.email", "phone": "contact.phones.0", "city": "address.city",
        "postcode": "address.zip", "external_id": "id",
    }  # fmt: skip
    source = {
        "type": "http_json", "url": f"{vendor}/feed/cursor?total={people}", "rows": "rows", "fields": fields,
        "metadata": {"profession": "job"},
        "paging": {"style": "cursor", "next": "meta.next", "size_param": "limit"},
    }  # fmt: skip
    return {"SYNC_SOURCES": json.dumps({"crm": source})}


def _sync(section: Section, people: int) -> None:
    with _vendor("vendors.randomuser_server") as vendor, _scene(_source(vendor, people)) as scene:
        scene.stack.start("api", "scheduler", "sync_worker")
        worker = psutil.Process(scene.stack.process("sync_worker").pid)
        before, begun = _cpu(worker), time.monotonic()
        with httpx.Client(base_url=f"{scene.stack.api_url}/api/v1", headers={"x-api-key": scene.stack.api_key}) as api:
            body = {"source": "crm", "batchSize": people // PAGES}
            job = api.post("/sync/trigger", json=body).raise_for_status().json()["id"]
        ended = "SELECT status FROM sync_jobs WHERE id = %(job)s AND completed_at IS NOT NULL"
        poll(lambda: scene.one(ended, job=job), timeout_s=PATIENCE_SECONDS, what="the sync to end")
        whole, cpu = time.monotonic() - begun, 1_000 * (_cpu(worker) - before) / people
        made, rate = scene.one("SELECT count(*) FROM leads"), float(scene.one(_SYNC_RATE, job=job))
    if made != people:
        raise RuntimeError(f"the sync made {made} of {people} leads")
    section.table.append([f"{people:,} people by sync, in {PAGES} pages", f"{rate:,.0f}", f"{cpu:.3f}"])
    section.remarks.append(f"The sync from trigger to end, fetching included: {whole:.1f} s.")
    goal = Goal(f"sync of {people:,} people", rate, at_least=10_000, unit="rows/s", why=_WHY_SYNC)
    section.goals.append(goal)


async def run(options: Options) -> Section:
    os.environ.setdefault("ENVIRONMENT", "staging")
    section = Section(
        "Tasks",
        [
            "One worker process each; the scheduler, PostgreSQL (fsync on, "
            + ", ".join(f"{k}={v}" for k, v in PRODUCTION_LIKE.items())
            + "), Valkey, the vendors and whoever queues the tasks (16 a transaction) on the same machine. Rates are "
            "those of the middle four fifths. CPU is the worker's.",
        ],
        table=[["", "a second", "CPU ms each"]],
    )
    await _nothing(section, options.requests * TASKS_A_REQUEST)
    await _with_the_sdk(section, options.requests * CALLS_A_REQUEST)
    await asyncio.to_thread(_sync, section, min(options.rows, 100_000))
    return section
