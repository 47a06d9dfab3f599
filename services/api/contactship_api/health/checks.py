"""What "healthy" means: PostgreSQL is required, Redis and workers only make things slower when they are away."""

import asyncio
from typing import Any

import sqlalchemy as sa
from redis.exceptions import RedisError

from contactship_api.gateway import Gateway
from contactship_common.db import DATABASE_AWAY
from contactship_common.models.worker import SILENT_SECONDS
from contactship_common.tasks.broker import messages_waiting
from contactship_common.tasks.catalog import QUEUES

_TIMEOUT_SECONDS = 2.0
_AWAY: tuple[type[Exception], ...] = (TimeoutError, *DATABASE_AWAY)

_WORK = sa.text("""
WITH live AS (SELECT queue, count(*) AS count FROM worker_heartbeats
               WHERE queue IS NOT NULL AND seen_at > now() - make_interval(secs => :silent) GROUP BY queue)
SELECT (SELECT jsonb_object_agg(queue, count) FROM live) AS live,
       (SELECT extract(epoch FROM now() - min(run_at))::float8 FROM tasks
         WHERE status = 'queued' AND run_at <= now()) AS oldest_seconds
""")


_STUCK_AFTER_SECONDS = 300
_COUNTED_AT_MOST = 1_000

_INBOX = sa.text("""
WITH stuck AS (SELECT received_at FROM webhook_inbox
                WHERE handled_at IS NULL AND error IS NULL AND received_at < now() - make_interval(secs => :stuck)
                ORDER BY id LIMIT :most),
     refused AS (SELECT 1 FROM webhook_inbox WHERE handled_at IS NULL AND error IS NOT NULL LIMIT :most)
SELECT (SELECT count(*) FROM stuck) AS stuck, (SELECT count(*) FROM refused) AS refused,
       (SELECT extract(epoch FROM now() - min(received_at))::float8 FROM stuck) AS oldest_seconds
""")


async def database(gateway: Gateway) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of PostgreSQL and, read in the same query, of the workers."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), gateway.runtime.db.reading() as session:
            row = (await session.execute(_WORK, {"silent": SILENT_SECONDS})).one()
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


async def inbox(gateway: Gateway) -> dict[str, Any]:
    """Webhooks that came in and have no effect after five minutes. `stuck`: nobody has got to them; `notUnderstood`:
    a worker said why not, and they wait for a person, which is no fault of this system. Counted up to 1,000."""
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS), gateway.runtime.db.reading() as session:
            asked = {"stuck": _STUCK_AFTER_SECONDS, "most": _COUNTED_AT_MOST}
            row = (await session.execute(_INBOX, asked)).one()
    except _AWAY:
        return {"status": "down", "message": "unknown while PostgreSQL is away"}
    told: dict[str, Any] = {"status": "down" if row.stuck else "up", "stuck": row.stuck, "notUnderstood": row.refused}
    if row.stuck:
        told["oldestStuckSeconds"] = round(row.oldest_seconds, 1)
        told["message"] = "webhooks wait for longer than five minutes"
    return told


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


async def parts(gateway: Gateway) -> dict[str, Any]:
    """What decides about traffic, and what it leans on."""
    (db, workers), cache = await asyncio.gather(database(gateway), redis(gateway))
    info = {"database": db, "redis": cache, "workers": workers, "ai": ai(gateway)}
    if gateway.core.broker_url != gateway.core.redis_url:
        info["broker"] = await broker(gateway)
    return info


def overall(info: dict[str, Any]) -> str:
    """`error`: requests cannot be answered. `degraded`: they are, but something is slower or waits."""
    if info["database"]["status"] == "down":
        return "error"
    return "degraded" if "down" in {part["status"] for part in info.values()} else "ok"
