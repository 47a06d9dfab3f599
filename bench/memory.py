"""How much memory one API process takes after many requests, and whether it goes on growing."""

import tempfile
from dataclasses import replace
from pathlib import Path

import psutil

from bench.client import Plan, run_apart
from bench.http import make_leads, make_user
from bench.kpis import production_like_server
from bench.report import Goal, Options, Section
from contactship_common.migrate import upgrade
from contactship_devstack.guard import Guard
from contactship_devstack.stack import Stack
from contactship_devstack.valkey import temporary_server as temporary_valkey

PROMISED_MIB, STEPS, LEADS = 150, 5, 1_000
REQUESTS = 1_667
"""Times the option `--requests` (60): 100,000."""

_MIX = (
    ("GET", "/leads/{}", 0.60, ""),
    ("GET", "/leads?take=20", 0.10, ""),
    ("GET", "/leads?search=bench{{n}}", 0.10, ""),
    ("POST", "/leads", 0.10, '{"firstName":"Ana","lastName":"García","email":"memory{n}@bench.example.com"}'),
    ("POST", "/leads/{}/summarize", 0.10, ""),
)


def _rss_mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


async def run(options: Options) -> Section:
    guard = Guard()
    requests = options.requests * REQUESTS
    section = Section(
        f"Memory of an API process, {requests:,} requests",
        ["Reads of leads, pages, searches, new leads and summaries asked for; 32 connections; resident memory."],
        table=[["after", "MiB"]],
    )
    with (
        production_like_server() as postgres,
        temporary_valkey(guard) as valkey,
        tempfile.TemporaryDirectory(prefix="contactship-bench-") as folder,
    ):
        url = postgres.create_database("contactship")
        upgrade(url)
        env = {"ENVIRONMENT": "staging"}
        with Stack(database_url=url, redis_url=valkey.url, folder=Path(folder), env=env, guard=guard) as stack:
            stack.start("api")
            process = psutil.Process(stack.process("api").pid)
            headers = make_user(url, stack.env["JWT_SECRET"]) | {"Content-Type": "application/json"}
            leads = make_leads(url, "memory", LEADS)
            section.table.append(["its start", f"{_rss_mib(process):.0f}"])
            sent = 0
            for _ in range(STEPS):
                for method, path, share, body in _MIX:
                    count = max(1, round(requests * share / STEPS))
                    paths = [f"/api/v1{path}".format(lead) for lead in leads] if "{" in path else [f"/api/v1{path}"]
                    plan = Plan(stack.api_url, method, paths, headers, body, requests=count, first=sent)
                    outcome = run_apart(plan if method == "POST" else replace(plan, headers=headers))
                    if not outcome.only(200, 201, 202):
                        raise RuntimeError(f"{method} {path} answered {outcome.statuses}")
                    sent += count
                section.table.append([f"{sent:,} requests", f"{_rss_mib(process):.0f}"])
            last = _rss_mib(process)
    guard.close()
    section.goals.append(
        Goal(f"memory of an API process after {sent:,} requests", last, below=PROMISED_MIB, unit="MiB")
    )
    return section
