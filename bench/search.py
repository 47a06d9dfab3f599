"""Pages and searches of a million leads, on a server that has `pg_trgm` (Debian's `postgresql` has it, the bundled one
has not): over the whole application (ASGI, one request at a time).

`BENCH_POSTGRES_BIN` names the folder of its programs; without it the newest below /usr/lib/postgresql is taken."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bench.kpis import PRODUCTION_LIKE, application
from bench.report import Goal, Options, Section, timed
from contactship_common.migrate import upgrade
from contactship_devstack.guard import Guard
from contactship_devstack.pgbinaries import give_to_server
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.valkey import temporary_server as temporary_valkey

PROMISED_MS, CHUNK = 50, 50_000
# From the plans; look again before believing it.
_WHY = "the total: counting reads every row it counts, up to 100,000. The rows of the same page take under 1 ms."
_DEBIAN = Path("/usr/lib/postgresql")

# Given names and surnames as often as people have them: a few are common, most are not.
_LEADS = """
WITH numbers AS (SELECT n, (random() ^ 2 * 400)::int AS first, (random() ^ 2 * 4000)::int AS last, random() AS status,
                        random() AS source, now() - random() * interval '700 days' AS at
                   FROM generate_series(%(from)s, %(to)s) AS n),
     named AS MATERIALIZED (
        SELECT *, initcap(translate(substr(md5('f' || first), 1, 7), '0123456789', 'aeioulnrst')) AS first_name,
               initcap(translate(substr(md5('l' || last), 1, 9), '0123456789', 'aeioulnrst')) AS last_name,
               '+54911' || (10000000 + n) AS phone FROM numbers),
     people AS (INSERT INTO persons (id, first_name, last_name, phone, phone_e164)
                SELECT md5('person' || n)::uuid, first_name, last_name, phone, phone FROM named)
INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort, created_at, updated_at)
SELECT md5('lead' || n)::uuid, md5('person' || n)::uuid, lower(first_name || '.' || last_name || n || '@example.com'),
       (ARRAY['manual', 'csv', 'external_api', 'webhook'])[1 + floor(source * 4)],
       CASE WHEN status < 0.7 THEN 'new' WHEN status < 0.9 THEN 'contacted' WHEN status < 0.98 THEN 'qualified'
            ELSE 'converted' END, 1,
       lower(first_name || ' ' || last_name || ' ' || first_name || '.' || last_name || n || '@example.com '
             || substr(phone, 2)), lower(last_name || ' ' || first_name), at, at
  FROM named
"""


def binaries() -> Path | None:
    """The programs of a PostgreSQL that has `pg_trgm`, if there is one."""
    if given := os.environ.get("BENCH_POSTGRES_BIN"):
        return Path(given)
    found = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@contextmanager
def _server(programs: Path) -> Iterator[PostgresServer]:
    guard = Guard()
    home = Path(tempfile.mkdtemp(prefix="contactship-bench-", dir="/tmp"))
    guard.remove(home)
    give_to_server(home)
    (home / "run").mkdir()
    give_to_server(home / "run")
    server = PostgresServer(
        home / "data", home / "run", home / "postgres.log", settings=PRODUCTION_LIKE, guard=guard, programs=programs
    )
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
        guard.close()


def _fill(url: str, rows: int) -> None:
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        for first in range(1, rows + 1, CHUNK):
            connection.execute(_LEADS, {"from": first, "to": min(rows, first + CHUNK - 1)})
        connection.execute("VACUUM ANALYZE")


def _words(url: str, rows: int) -> tuple[tuple[str, str], tuple[str, str], str, str]:
    """A common and a rare person's first and last names, an e-mail and the digits of a phone."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT first_name, last_name FROM persons GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2"
        ).fetchall()
        lead = connection.execute("SELECT email FROM leads WHERE id = md5('lead' || %s)::uuid", (rows // 2,)).fetchone()
    assert lead is not None
    return names[0], names[-1], lead[0], str(10_000_000 + rows // 2)


async def run(options: Options) -> Section:
    programs = binaries()
    section = Section(f"Pages and searches of {options.rows:,} leads", [])
    if programs is None:
        section.remarks.append(
            f"Not run: there is no PostgreSQL with pg_trgm in {_DEBIAN} (apt-get install postgresql), and "
            "BENCH_POSTGRES_BIN is not set. The bundled one searches without an index."
        )
        section.goals.append(Goal("slowest page or search, p95", None, below=PROMISED_MS, unit="ms"))
        return section
    guard = Guard()
    with _server(programs) as postgres, temporary_valkey(guard) as valkey:
        url = postgres.create_database("contactship")
        upgrade(url)
        _fill(url, options.rows)
        common, rare, email, phone = _words(url, options.rows)
        with psycopg.connect(url) as connection:
            version = connection.info.server_version // 10_000
        section.conditions.append(
            f"PostgreSQL {version} with pg_trgm on the same machine, "
            + ", ".join(f"{name}={value}" for name, value in PRODUCTION_LIKE.items())
            + "; 10 rows a page with person and summary state, and the total; one request at a time."
        )
        asked = {
            "first page": {},
            "page 100": {"page": "100"},
            "take=100": {"take": "100"},
            "status": {"status": "converted"},
            "source and status": {"status": "qualified", "source": "csv"},
            "by name": {"sort": "name"},
            "walk": {"cursor": "", "take": "100"},
            "search: e-mail": {"search": email},
            "search: part of an e-mail": {"search": email[2:-8]},
            "search: phone": {"search": phone},
            "search: common name": {"search": " ".join(common)},
            "search: common first name": {"search": common[0]},
            "search: rare name": {"search": " ".join(rare)},
            "search: rare last name": {"search": rare[1]},
            "search: nobody": {"search": "zzyzx quux"},
            "search: common name, status": {"search": common[1], "status": "new"},
        }
        async with application(url, valkey.url) as client:
            for name, query in asked.items():

                async def call(query: dict[str, str] = query) -> None:
                    answer = await client.get("/api/v1/leads", params=query)
                    assert answer.status_code == 200, answer.text

                section.lines.append(await timed(f"/leads ({name})", call, options.requests))
    guard.close()
    worst = max(section.lines, key=lambda line: line.p95)
    section.remarks.append(f"Slowest: {worst.name}.")
    section.goals.append(Goal("slowest page or search, p95", worst.p95, below=PROMISED_MS, unit="ms", why=_WHY))
    return section
