"""The gateway against its floor (`bench.floor`): the same reads and writes on the same servers, one process each,
measured in turns with the same client.

Besides requests a second it tells the processor time of each process a request: that one means something on a busy
machine, too."""

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from uuid import UUID

import httpx
import psutil
import psycopg
import redis

from bench.client import Outcome, Plan, run_apart
from bench.kpis import PRODUCTION_LIKE, production_like_server
from bench.report import Goal, Options, Section
from contactship_common.cache_keys import lead_key
from contactship_common.migrate import upgrade
from contactship_common.settings import ApiSettings
from contactship_common.tokens import issue_access_token
from contactship_devstack.guard import Guard
from contactship_devstack.polling import free_port, poll
from contactship_devstack.stack import Stack
from contactship_devstack.valkey import temporary_server as temporary_valkey

ROUNDS, CONNECTIONS, CACHED_LEADS = 5, 32, 100
REQUESTS = 300
"""Times the option `--requests` (60) is what one round of an operation sends."""

# From profiles; look again before believing it.
_WHY = "the floor checks nothing; routing and validating take a quarter, the log line and Redis a tenth each."

_PERSON = UUID("018f0000-0000-7000-8000-000000000001")
_NO_LIMIT = "100000000"
_LEADS = """
WITH numbers AS (SELECT generate_series(1, %(count)s) AS n),
     people AS (INSERT INTO persons (id, first_name, last_name)
                SELECT md5('p' || %(name)s || n)::uuid, 'Ana', 'García' FROM numbers)
INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort)
SELECT md5(%(name)s || n)::uuid, md5('p' || %(name)s || n)::uuid, %(name)s || n || '@bench.example.com', 'manual',
       'new', 1, 'ana garcía', 'garcía ana' FROM numbers
RETURNING id
"""


@dataclass(slots=True)
class Contender:
    """One of the two processes, and what it has done so far in the operation that is measured."""

    name: str
    url: str
    process: psutil.Process
    outcomes: list[Outcome] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def measure(self, plan: Plan, *expected: int) -> None:
        before = sum(self.process.cpu_times()[:2])
        outcome = run_apart(replace(plan, url=self.url))
        if not outcome.only(*expected):
            raise RuntimeError(f"{self.name} answered {plan.method} {plan.paths[0]} with {outcome.statuses}")
        self.outcomes.append(outcome)
        self.cpu_ms.append(1_000 * (sum(self.process.cpu_times()[:2]) - before) / outcome.requests)

    @property
    def per_second(self) -> float:
        return median(outcome.per_second for outcome in self.outcomes)

    def row(self, operation: str, ratio: str) -> list[str]:
        p95 = median(outcome.p95_ms for outcome in self.outcomes)
        return [operation, self.name, f"{self.per_second:,.0f}", ratio, f"{min(self.cpu_ms):.3f}", f"{p95:.1f}"]


@dataclass(frozen=True, slots=True)
class Operation:
    """What both do; `ours` and `floors` are their plans but for the address, `share` the promised part of the floor."""

    name: str
    ours: Plan
    floors: Plan
    status: int
    share: float | None


@contextmanager
def floor_process(environment: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """The floor, serving."""
    port = free_port()
    command = [sys.executable, "-m", "bench.floor.app"]
    child = subprocess.Popen(command, env={**environment, "PORT": str(port)}, cwd=Path(__file__).parents[1])
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        if child.poll() is not None:
            raise RuntimeError("the floor did not start")
        try:
            return httpx.get(url).status_code == 404
        except httpx.TransportError:
            return False

    try:
        poll(answers, timeout_s=30, what="the floor")
        yield url, psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(20)


def make_user(database_url: str, secret: str) -> dict[str, str]:
    """An administrator, and the headers of their requests."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO users (id, email, name, password_hash, role, active)"
            " VALUES (%s, 'bench@example.com', 'Bench', '', 'ADMIN', true)",
            (_PERSON,),
        )
    settings = ApiSettings(jwt_secret=secret, jwt_expires_in=86_400, api_secret_key=secrets.token_hex(20))
    token, _ = issue_access_token(settings, user_id=_PERSON, email="bench@example.com", role="ADMIN")
    return {"Authorization": f"Bearer {token}"}


def make_leads(database_url: str, name: str, count: int) -> list[str]:
    """So many leads; returns their ids."""
    with psycopg.connect(database_url, cursor_factory=psycopg.ClientCursor) as connection:
        rows = connection.execute(_LEADS, {"name": name, "count": count}).fetchall()
    return [str(row[0]) for row in rows]


def operations(database_url: str, redis_url: str, api: str, headers: dict[str, str], requests: int) -> list[Operation]:
    """The three that are promised and one more, with the data they need."""
    shared = Plan("", "GET", [], headers, requests=requests, connections=CONNECTIONS)
    leads = make_leads(database_url, "cached", CACHED_LEADS)
    with httpx.Client(headers=headers) as client, redis.Redis.from_url(redis_url) as cache:
        for lead in leads:
            body = client.get(f"{api}/api/v1/leads/{lead}").raise_for_status().content
            cache.set(f"floor:lead:{lead}", body)
            cache.persist(lead_key(UUID(lead)))  # what expires meanwhile would be measured as a read of the database
    posting = {**headers, "Content-Type": "application/json"}
    create = replace(shared, method="POST", headers=posting, paths=["/leads"], first=10_000_000)
    whole = '{"firstName":"Ana","lastName":"García","email":"%s{n}@bench.example.com"}'
    more = whole[:-1] + (
        ',"phone":"+54911{n}","address":{"city":"Rosario","country":"AR"},"metadata":{"campaign":"bench"}}'
    )
    each = (ROUNDS + 1) * requests
    summarize = replace(shared, method="POST")
    ask = "/leads/{}/summarize"
    ours, floors = (make_leads(database_url, name, each) for name in ("ours", "floors"))
    api_create = replace(create, paths=["/api/v1/leads"])
    return [
        Operation(
            "GET /leads/{id}, cached",
            replace(shared, paths=[f"/api/v1/leads/{lead}" for lead in leads]),
            replace(shared, paths=[f"/leads/{lead}" for lead in leads]),
            200,
            80,
        ),
        Operation(
            "POST /leads", replace(api_create, body=whole % "ours"), replace(create, body=whole % "floor"), 201, 60
        ),
        Operation(
            "POST /leads, with phone and address",
            replace(api_create, body=more % "more"),
            replace(create, body=whole % "less"),
            201,
            None,
        ),
        Operation(
            "POST /leads/{id}/summarize",
            replace(summarize, paths=["/api/v1" + ask.format(lead) for lead in ours]),
            replace(summarize, paths=[ask.format(lead) for lead in floors]),
            202,
            60,
        ),
    ]


def compare(operation: Operation, ours: Contender, floor: Contender) -> float:
    """A B A B, after one round each to warm up; the share of the floor that we reach, in per cent."""
    for turn in range(ROUNDS + 1):
        for contender, plan in ((ours, operation.ours), (floor, operation.floors)):
            # A round takes up where the last one ended: leads that were made or asked for already count as others.
            start = turn * plan.requests
            paths = plan.paths[start : start + plan.requests] if len(plan.paths) > CACHED_LEADS else plan.paths
            contender.measure(replace(plan, paths=paths, first=plan.first + start), operation.status)
    for contender in (ours, floor):
        del contender.outcomes[0], contender.cpu_ms[0]
    return 100 * median(a.per_second / b.per_second for a, b in zip(ours.outcomes, floor.outcomes, strict=True))


async def run(options: Options) -> Section:
    guard = Guard()
    requests = options.requests * REQUESTS
    section = Section(
        "HTTP against the floor",
        [
            "One process each, measured in turns (medians of "
            f"{ROUNDS} rounds of {requests:,} requests on {CONNECTIONS} connections; the ratio is the median of the "
            "rounds'), PostgreSQL (fsync on, " + ", ".join(f"{k}={v}" for k, v in PRODUCTION_LIKE.items()) + "), "
            "Valkey and the client on the same machine. The floor is `bench/floor/app.py`: FastAPI, psycopg and "
            "redis-py, each token verified once, limit and cached value in one pipeline, the same rows in one "
            "statement, nothing else.",
        ],
        table=[["", "", "requests/s", "of the floor", "CPU ms", "p95 ms"]],
    )
    with (
        production_like_server() as postgres,
        temporary_valkey(guard) as valkey,
        tempfile.TemporaryDirectory(prefix="contactship-bench-") as folder,
    ):
        url = postgres.create_database("contactship")
        upgrade(url)
        env = {"RATE_LIMIT_MAX": _NO_LIMIT, "ENVIRONMENT": "staging"}
        with Stack(database_url=url, redis_url=valkey.url, folder=Path(folder), env=env, guard=guard) as stack:
            stack.start("api")
            headers = make_user(url, stack.env["JWT_SECRET"])
            with floor_process(stack.env) as (floor_url, floor_child):
                for operation in operations(url, valkey.url, stack.api_url, headers, requests):
                    ours = Contender("Contactship", stack.api_url, psutil.Process(stack.process("api").pid))
                    floor = Contender("floor", floor_url, floor_child)
                    with psycopg.connect(url, autocommit=True) as connection:
                        connection.execute("VACUUM ANALYZE")
                    share = compare(operation, ours, floor)
                    section.table += [ours.row(operation.name, f"{share:.0f} %"), floor.row("", "")]
                    if operation.share is not None:
                        section.goals.append(
                            Goal(operation.name, share, at_least=operation.share, unit="% of the floor", why=_WHY)
                        )
                    client = max(o.client_cpu_seconds / o.seconds for o in ours.outcomes + floor.outcomes)
                    section.remarks.append(f"{operation.name}: the client used at most {client:.2f} cores.")
    guard.close()
    return section
