"""What "healthy" means: PostgreSQL is required, Redis and workers only make things slower when they are away."""

import asyncio
from typing import Any

import sqlalchemy as sa
from redis.exceptions import RedisError

from contactship_api.gateway import Gateway
from contactship_common.db import DATABASE_AWAY
from contactship_common.tasks.broker import messages_waiting
from contactship_common.tasks.catalog import QUEUES

_TIMEOUT_SECONDS = 2.0
_WORKER_SILENT_SECONDS = 30
_AWAY: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_AWAY)

_WORK = sa.text("""
WITH live AS (SELECT queue, count(*) AS count FROM worker_heartbeats
               WHERE queue IS NOT NULL AND seen_at > now() - make_interval(secs => :silent) GROUP BY queue)
SELECT (SELECT jsonb_object_agg(queue, count) FROM live) AS live,
       (SELECT extract(epoch FROM now() - min(run_at))::float8 FROM tasks
         WHERE status = 'queued' AND run_at <= now()) AS oldest_seconds
""")


async def database(gateway: Gateway) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of PostgreSQL and, read in the same query, of the workers."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), gateway.runtime.db.reading() as session:
            row = (await session.execute(_WORK, {"silent": _WORKER_SILENT_SECONDS})).one()
    except _AWAY:
        down = {"status": "down", "message": "PostgreSQL cannot be reached"}
        return down, {"status": "down", "message": "unknown while PostgreSQL is away"}
    live: dict[str, int] = row.live or {}
    missing = [queue for queue in QUEUES if not live.get(queue)]
    workers: dict[str, Any] = {"status": "down" if missing else "up", "live": {q: live.get(q, 0) for q in QUEUES}}
    if missing:
        workers["message"] = f"no live worker for: {', '.join(missing)}"
    workers["oldestWaitingSeconds"] = round(row.oldest_seconds or 0.0, 1)
    return {"status": "up"}, workers


async def redis(gateway: Gateway) -> dict[str, Any]:
    client = gateway.runtime.redis.client
    if client is None:
        return {"status": "down", "message": "REDIS_URL is not set"}
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await client.ping()
    except (RedisError, OSError, TimeoutError):
        return {"status": "down", "message": "Redis cannot be reached; work is accepted and done more slowly"}
    return {"status": "up"}


async def broker(gateway: Gateway) -> dict[str, Any]:
    """Where workers are rung: usually the same Redis."""
    if gateway.core.broker_url == gateway.core.redis_url:
        return await redis(gateway)
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await asyncio.to_thread(messages_waiting, gateway.runtime.broker, QUEUES[0])
    except (RedisError, OSError, TimeoutError):
        return {"status": "down", "message": "the broker cannot be reached; work is accepted and done more slowly"}
    return {"status": "up"}


def ai(gateway: Gateway) -> dict[str, Any]:
    """Which providers the AI workers are configured for, as far as this process's settings say."""
    providers = gateway.runtime.ai.provider_order
    told: dict[str, Any] = {"status": "up", "providers": list(providers)}
    if list(providers) == ["local"]:
        told["message"] = "local rules answer; no language model is configured"
    return told


async def everything(gateway: Gateway) -> tuple[str, dict[str, Any]]:
    """The overall status and the parts."""
    (db, workers), cache = await asyncio.gather(database(gateway), redis(gateway))
    info = {"database": db, "redis": cache, "workers": workers, "ai": ai(gateway)}
    if gateway.core.broker_url != gateway.core.redis_url:
        info["broker"] = await broker(gateway)
    if db["status"] == "down":
        return "error", info
    degraded = "down" in {info[part]["status"] for part in ("redis", "workers", "broker") if part in info}
    return "degraded" if degraded else "ok", info
