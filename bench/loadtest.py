"""A storm against a system that runs already: `python -m bench.loadtest URL KEY`. It makes leads there, reads them,
lists them and asks for their summaries, and prints what was answered how fast. Its leads are named
`loadtest-…@example.com`.

Exit status 1: something was answered that should not have been (429 is told, not counted as wrong)."""

import argparse
import secrets
import sys
from dataclasses import replace

import httpx

from bench.client import Outcome, Plan, run_apart
from bench.report import aligned


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.loadtest", description=__doc__)
    parser.add_argument("url", help="where the API is: http://host:port")
    parser.add_argument("key", help="an API key with leads:read, leads:write and ai:run")
    parser.add_argument("--requests", type=int, default=5_000, help="of each kind (5,000)")
    parser.add_argument("--connections", type=int, default=32, help="with one request each at a time (32)")
    given = parser.parse_args()
    outcomes = storm(given.url.rstrip("/"), given.key, given.requests, given.connections)
    rows = [["", "requests/s", "median ms", "p95 ms", "answers"]]
    for name, out in outcomes.items():
        rows.append([name, f"{out.per_second:,.0f}", f"{out.median_ms:.1f}", f"{out.p95_ms:.1f}", f"{out.statuses}"])
    print("\n".join(aligned(rows)))
    if not all(outcome.only(200, 201, 202, 429) for outcome in outcomes.values()):
        sys.exit("some requests failed")


def storm(url: str, key: str, requests: int, connections: int) -> dict[str, Outcome]:
    """One kind of request after the other; the outcomes by name."""
    tag, headers = f"loadtest-{secrets.token_hex(4)}", {"x-api-key": key}
    posting = headers | {"Content-Type": "application/json"}
    body = f'{{"firstName":"Load","lastName":"Test","email":"{tag}-{{n}}@example.com"}}'
    plan = Plan(url, "GET", [], headers, requests=requests, connections=connections)
    outcomes = {
        "POST /leads": run_apart(replace(plan, method="POST", paths=["/api/v1/leads"], headers=posting, body=body))
    }
    found = httpx.get(f"{url}/api/v1/leads", params={"search": tag, "take": 100}, headers=headers).raise_for_status()
    ids = [lead["id"] for lead in found.json()["data"]]
    if not ids:
        return outcomes
    reads = [f"/api/v1/leads/{lead}" for lead in ids]
    outcomes["GET /leads/{id}"] = run_apart(replace(plan, paths=reads))
    outcomes["GET /leads"] = run_apart(replace(plan, paths=["/api/v1/leads?take=20"]))
    asks = [f"{path}/summarize" for path in reads]
    outcomes["POST /leads/{id}/summarize"] = run_apart(replace(plan, method="POST", paths=asks))
    return outcomes


if __name__ == "__main__":
    main()
