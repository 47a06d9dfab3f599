"""What the same reads and writes cost without Contactship: FastAPI, psycopg and redis-py, one file, one process.

Each token is verified once, the rate limit and the cached value come in one pipeline, and what is written is one
statement: the same rows as Contactship's (person, lead, its event, the audit row; a task), and nothing is checked but
what the types say. No request ids, no log, no metrics, no errors, no coherence, no idempotency.

`python -m bench.floor.app` serves it on PORT.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import jwt
import orjson
import redis.asyncio as aioredis
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Response
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from uuid_utils.compat import uuid7

SECRET = os.environ["JWT_SECRET"]
LIMIT, TTL_SECONDS = int(os.environ["RATE_LIMIT_MAX"]), 60

_CREATE = """
WITH person AS (INSERT INTO persons (id, first_name, last_name) VALUES (%(person)s, %(first)s, %(last)s)),
     event AS (INSERT INTO lead_events (id, lead_id, type, actor, data)
               VALUES (%(event)s, %(id)s, 'created', %(actor)s, %(data)s)),
     act AS (INSERT INTO audit_logs (id, actor, action, entity_type, entity_id, ip, data)
             VALUES (%(act)s, %(actor)s, 'lead.create', 'lead', %(id)s::text, '127.0.0.1', %(data)s))
INSERT INTO leads (id, person_id, email, source, status, version, search_text, name_sort)
VALUES (%(id)s, %(person)s, %(email)s, 'manual', 'new', 1, %(search)s, %(sort)s)
RETURNING created_at
"""
_ENQUEUE = """
INSERT INTO tasks (id, kind, queue, priority, payload, subject_id, slot, holds, rerun, max_attempts, run_at,
                   requested_by, published_at, status, run_no, failures)
SELECT %(id)s, 'lead.summary', 'ai', 100, %(payload)s, leads.id, %(slot)s, 'ended', false, 5, now(), %(actor)s, now(),
       'queued', 0, 0
  FROM leads WHERE leads.id = %(lead)s
    ON CONFLICT (slot) DO UPDATE SET run_at = least(tasks.run_at, excluded.run_at)
RETURNING id
"""


class NewLead(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    first_name: str
    last_name: str
    email: str


db = AsyncConnectionPool(os.environ["DATABASE_URL"], kwargs={"autocommit": True}, min_size=1, max_size=10, open=False)
redis = aioredis.Redis.from_url(os.environ["REDIS_URL"])
verified: dict[str, str] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    await db.open()
    yield
    await db.close()
    await redis.aclose()


app = FastAPI(lifespan=lifespan, openapi_url=None)


async def caller(authorization: str, *lookup: str) -> tuple[str, Any]:
    """Who asks, counted, with the value that was looked up in the same pipeline."""
    who = verified.get(authorization)
    if who is None:
        claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
        who = verified[authorization] = f"user:{claims['uid']}"
    async with redis.pipeline(transaction=False) as pipe:
        key = f"floor:rate:{who}:{int(time.time() // TTL_SECONDS)}"
        pipe.incr(key)
        pipe.expire(key, TTL_SECONDS * 2)
        for name in lookup:
            pipe.get(name)
        found = await pipe.execute()
    if found[0] > LIMIT:
        raise HTTPException(429)
    return who, found[-1]


@app.get("/leads/{lead_id}")
async def cached(lead_id: UUID, authorization: str = Header()) -> Response:
    _, value = await caller(authorization, f"floor:lead:{lead_id}")
    if value is None:
        raise HTTPException(404)
    return Response(value, media_type="application/json")


@app.post("/leads", status_code=201)
async def create(body: NewLead, authorization: str = Header()) -> Response:
    who, _ = await caller(authorization)
    lead_id = uuid7()
    row = {
        "id": lead_id, "person": uuid7(), "event": uuid7(), "act": uuid7(), "first": body.first_name,
        "last": body.last_name, "email": body.email, "actor": who, "data": Jsonb({"source": "manual"}),
        "search": f"{body.first_name} {body.last_name} {body.email}".lower(),
        "sort": f"{body.last_name} {body.first_name}".lower(),
    }  # fmt: skip
    async with db.connection() as connection:
        made = await (await connection.execute(_CREATE, row)).fetchone()
    assert made is not None
    shown = {"id": str(lead_id), **body.model_dump(by_alias=True), "createdAt": made[0]}
    return Response(orjson.dumps(shown), status_code=201, media_type="application/json")


@app.post("/leads/{lead_id}/summarize", status_code=202)
async def summarize(lead_id: UUID, authorization: str = Header()) -> Response:
    who, _ = await caller(authorization)
    task = {
        "id": uuid7(), "payload": Jsonb({"lead_id": str(lead_id)}), "slot": f"lead.summary:{lead_id}",
        "lead": lead_id, "actor": who,
    }  # fmt: skip
    async with db.connection() as connection:
        made = await (await connection.execute(_ENQUEUE, task)).fetchone()
    if made is None:
        raise HTTPException(404)
    await redis.rpush("floor:tasks", str(made[0]))
    shown = {"leadId": str(lead_id), "taskId": str(made[0]), "status": "processing"}
    return Response(orjson.dumps(shown), status_code=202, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False, loop="uvloop")
