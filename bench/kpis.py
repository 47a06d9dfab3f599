"""Every KPI endpoint on a million meetings, without the cache, over the whole application (ASGI, one request at a
time): authentication, validation, queries, serialisation."""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import psycopg
import sqlalchemy as sa

from bench.report import Goal, Options, Section, timed
from contactship_api.access.requires import MeetingsRead
from contactship_api.app import create_app
from contactship_api.deps import Reading
from contactship_api.http.route import api_router
from contactship_common.migrate import upgrade
from contactship_common.settings import ApiSettings, CoreSettings
from contactship_common.settings.core import Environment
from contactship_devstack.guard import Guard
from contactship_devstack.pgbinaries import give_to_server
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.valkey import temporary_server as temporary_valkey

PRODUCTION_LIKE = {"shared_buffers": "512MB", "max_wal_size": "4GB", "effective_cache_size": "2GB"}
SELLERS, CLIENTS, DAYS = 50, 200_000, 1_096
CHUNK = 100_000
ZONE = "America/Argentina/Buenos_Aires"
ENDPOINTS = (
    "/overview", "/sellers/performance", "/meetings/trends", "/meetings/trends?period=daily", "/clients/engagement",
    "/clients/analysis", "",
)  # fmt: skip

_PEOPLE = """
INSERT INTO sellers (id, name, email, active, search_text, name_sort)
SELECT md5('seller' || n)::uuid, 'Seller ' || n, 'seller' || n || '@example.com', true, '', ''
  FROM generate_series(0, %(sellers)s - 1) AS n;
INSERT INTO clients (id, name, email, search_text, name_sort)
SELECT md5('client' || n)::uuid, 'Client ' || n, 'client' || n || '@example.com', '', ''
  FROM generate_series(0, %(clients)s - 1) AS n;
"""
_MEETINGS = """
INSERT INTO meetings (id, client_id, seller_id, meeting_at, duration_minutes, status, transcript, transcript_changed_at)
SELECT md5('meeting' || n)::uuid, md5('client' || floor(random() * %(clients)s))::uuid,
       md5('seller' || floor(random() * %(sellers)s))::uuid,
       date_bin('5 minutes', now() - random() * make_interval(days => %(days)s), 'epoch'),
       CASE WHEN random() < 0.9 THEN 15 + floor(random() * 76) END,
       (ARRAY['open', 'closed', 'closed', 'cancelled'])[1 + floor(random() * 4)],
       repeat('Vendedor: hola. Cliente: hola, ', 10), now()
  FROM generate_series(%(first)s, %(last)s) AS n
"""
_CLASSIFICATIONS = """
INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language, lost_client_bad_meeting,
       sentiment, confidence_score, key_topics, action_items, next_steps, summary, answer, corrected_fields, provider,
       model_used, prompt_version, processing_time_ms)
SELECT md5('classification' || n)::uuid, md5('meeting' || n)::uuid, true,
       jsonb_build_object(
           'businessSector', (ARRAY['retail','ecommerce','insurance','healthcare','energy','mining','education',NULL])
                             [1 + floor(random() * 8)],
           'companySize', (ARRAY['small','medium','large'])[1 + floor(random() * 3)],
           'region', (ARRAY['latam_south','europe','asia'])[1 + floor(random() * 3)],
           'leadSource', (ARRAY['referral','seo','email','event','partner','linkedin','webchat'])
                         [1 + floor(random() * 7)],
           'vambeProduct', (ARRAY['mercur','iris','ads','axis'])[1 + floor(random() * 4)],
           'useCase', (ARRAY['lead_scoring','churn_prediction','demand_forecasting','fraud_detection'])
                      [1 + floor(random() * 4)],
           'primaryPainPoint', (ARRAY['high_churn','low_conversion','scalability','dispersed_data','slow_reporting'])
                               [1 + floor(random() * 5)],
           'decisionMakerRole', (ARRAY['ceo','cto','cmo'])[1 + floor(random() * 3)],
           'purchaseStage', (ARRAY['discovery','negotiation','closure'])[1 + floor(random() * 3)]),
       false, 'es', false, (ARRAY['positive','neutral','negative'])[1 + floor(random() * 3)],
       round((0.1 + random() * 0.8)::numeric, 2), '["precio", "plazos"]', '["enviar propuesta"]',
       'Enviar la propuesta.', repeat('Habló de precios. ', 5), '{}', '[]', 'local', 'rules', '1', 5
  FROM generate_series(%(first)s, %(last)s) AS n
"""


@contextmanager
def production_like_server() -> Iterator[PostgresServer]:
    """An own server that keeps its promises (fsync on) and may use parallel workers."""
    guard = Guard()
    home = Path(tempfile.mkdtemp(prefix="contactship-bench-", dir="/tmp"))
    guard.remove(home)
    give_to_server(home)
    (home / "run").mkdir()
    give_to_server(home / "run")
    server = PostgresServer(home / "data", home / "run", home / "postgres.log", settings=PRODUCTION_LIKE, guard=guard)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
        guard.close()


def fill(database_url: str, rows: int) -> None:
    """The data set, written set-based with every trigger at work."""
    size = {"sellers": SELLERS, "clients": max(1, rows * CLIENTS // 1_000_000), "days": DAYS}
    with psycopg.connect(database_url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(_PEOPLE, size)
        for first in range(1, rows + 1, CHUNK):
            part = size | {"first": first, "last": min(rows, first + CHUNK - 1)}
            connection.execute(_MEETINGS, part)
            connection.execute(_CLASSIFICATIONS, part)
        connection.execute("SELECT kpi_fold()")
        connection.execute("VACUUM ANALYZE")


@asynccontextmanager
async def application(database_url: str, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The application with one more operation, `/floor`: `SELECT 1` and nothing else."""
    key = secrets.token_hex(20)
    core = CoreSettings(
        database_url=database_url, redis_url=redis_url, environment=Environment.STAGING, default_cache_ttl=0
    )
    app = create_app(core, ApiSettings(api_secret_key=key, jwt_secret=secrets.token_hex(20), rate_limit_max=0))
    floor = api_router()

    @floor.get("/floor")
    async def select_1(who: MeetingsRead, session: Reading) -> int:
        return int((await session.execute(sa.text("SELECT 1"))).scalar_one())

    app.include_router(floor)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://bench", headers={"x-api-key": key}
        ) as client,
    ):
        yield client


async def run(options: Options) -> Section:
    guard = Guard()
    with production_like_server() as postgres, temporary_valkey(guard) as valkey:
        url = postgres.create_database("contactship")
        upgrade(url)
        fill(url, options.rows)
        section = Section(
            f"KPIs of {options.rows:,} meetings",
            [
                f"{SELLERS} sellers, {options.rows * CLIENTS // 1_000_000:,} clients, three years, all classified; "
                "answers not cached; one request at a time; PostgreSQL on the same machine with "
                + ", ".join(f"{name}={value}" for name, value in PRODUCTION_LIKE.items())
                + ".",
                f"`tz` is {ZONE}; the range is from 1,000 to 200 days ago; the seller has a fiftieth of the meetings.",
            ],
        )
        with psycopg.connect(url) as connection:
            one = connection.execute(
                "SELECT md5('seller7')::uuid, (now() - interval '1000 days')::date, (now() - interval '200 days')::date"
            ).fetchone()
        assert one is not None
        seller, start, end = one
        ways = {
            "": {},
            "tz": {"tz": ZONE},
            "tz, range": {"tz": ZONE, "from": str(start), "to": str(end)},
            "tz, seller": {"tz": ZONE, "sellerId": str(seller)},
            "tz, seller, range": {"tz": ZONE, "sellerId": str(seller), "from": str(start), "to": str(end)},
        }
        async with application(url, valkey.url) as client:

            async def get(path: str, query: dict[str, str]) -> None:
                answer = await client.get(path, params=query)
                assert answer.status_code == 200, answer.text

            section.lines.append(await timed("floor: SELECT 1", lambda: get("/floor", {}), options.requests))
            for endpoint in ENDPOINTS:
                path, _, more = endpoint.partition("?")
                fixed = dict(httpx.QueryParams(more))
                for way, query in ways.items():
                    name = f"/kpis{endpoint}" + (f" ({way})" if way else "")
                    both = query | fixed

                    async def call(path: str = path, both: dict[str, str] = both) -> None:
                        await get(f"/api/v1/kpis{path}", both)

                    section.lines.append(await timed(name, call, options.requests))
    guard.close()
    worst = max(section.lines, key=lambda line: line.p95)
    section.remarks.append(f"Slowest: {worst.name}, p95 {worst.p95:.0f} ms; the promise is 300 ms.")
    section.goals.append(Goal("slowest KPI endpoint, p95", worst.p95, below=300, unit="ms"))
    return section
