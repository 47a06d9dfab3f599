"""What `make run` says once everything is ready."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Facts:
    api_url: str
    api_key: str
    login: str
    data_folder: Path
    database: str
    redis: str
    health_urls: dict[str, str]


def curls(api_url: str, api_key: str) -> list[str]:
    """Three commands for any POSIX shell, to be pasted in this order: make a lead, ask for a summary, read it.

    They need `curl` and `sed` only. Each shows the answer; the first two keep an id for the next.
    """
    leads = f"{api_url}/api/v1/leads"
    key = f"-H 'x-api-key: {api_key}'"
    # The quotes end around date: a shell runs it, and every paste makes another person.
    person = '{"firstName":"Ada","lastName":"Lovelace","email":"ada.\'$(date +%s)\'@example.com"}'
    body = f"-H 'content-type: application/json' -d '{person}'"
    return [
        f"ID=$(curl -sS -X POST {leads} {key} {body} | tee -a /dev/stderr | {_pick('id')}); echo",
        f"TASK=$(curl -sS -X POST {leads}/$ID/summarize {key} | tee -a /dev/stderr | {_pick('taskId')}); echo",
        f'curl -sS "{api_url}/api/v1/tasks/$TASK?wait=10" {key} && echo && curl -sS {leads}/$ID {key} && echo',
    ]


def banner(facts: Facts) -> str:
    health = [f"    {name:<16} {url}/health/readiness" for name, url in facts.health_urls.items()]
    return "\n".join(
        [
            "",
            "=" * 78,
            "  Contactship is ready.",
            "",
            f"  API              {facts.api_url}",
            f"  Swagger UI       {facts.api_url}/api/docs",
            f"  Login            {facts.login}",
            f"  Data folder      {facts.data_folder}",
            f"  PostgreSQL       {facts.database}",
            f"  Redis            {facts.redis}",
            "  Health of the workers (also in running.json in the data folder)",
            *health,
            "",
            "  Make a lead, ask for its summary, read it:",
            "",
            *curls(facts.api_url, facts.api_key),
            "",
            "  Ctrl-C stops everything. `make psql`, `make tasks` and `make admin` work while it runs.",
            "=" * 78,
            "",
        ]
    )


def _pick(field: str) -> str:
    """A filter that leaves the first value of a text field of a JSON object."""
    return f"""sed -n 's/^{{[^{{]*"{field}": *"\\([^"]*\\)".*/\\1/p'"""
