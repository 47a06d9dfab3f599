"""Leads for tests: one by one through the API, many through SQL."""

from typing import Any

import psycopg

from api_testkit.api import Api
from contactship_common.models.base import new_id


def new_lead(**changes: Any) -> dict[str, Any]:
    """A body that POST /leads accepts; the e-mail is another each time."""
    body = {"firstName": "Ana", "lastName": "García", "email": f"ana-{new_id().hex[-12:]}@example.com"}
    return {name: value for name, value in (body | changes).items() if value is not ...}


async def make_lead(api: Api, **changes: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/leads", json=new_lead(**changes))
    assert answer.status_code == 201, answer.text
    lead: dict[str, Any] = answer.json()
    return lead


_SEED = """
WITH numbers AS (SELECT n, gen_random_uuid() AS person_id, gen_random_uuid() AS lead_id
                   FROM generate_series(%(first)s::int, %(last)s::int) AS n),
     people AS (INSERT INTO persons (id, first_name, last_name)
                SELECT person_id, 'First' || n, 'Last' || (n %% 97) FROM numbers)
INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort, created_at, updated_at)
SELECT lead_id, person_id, 'seed' || n || '@example.com',
       (ARRAY['manual','external_api','csv'])[1 + n %% 3],
       (ARRAY['new','contacted','qualified','converted','lost'])[1 + n %% 5], 1,
       'first' || n || ' last' || (n %% 97) || ' seed' || n || '@example.com', 'last' || (n %% 97) || ' first' || n,
       now() - make_interval(secs => n %% 50), now() - make_interval(secs => n %% 31)
  FROM numbers
"""


async def seed_leads(database_url: str, count: int, *, first: int = 1) -> None:
    """Rows with many equal times and names, so that only the id breaks the ties."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(_SEED, {"first": first, "last": first + count - 1})
        await connection.execute("ANALYZE leads")
