"""How much waits, and for how long: what operators scale and alert on."""

import asyncio
from typing import Any

from redis.exceptions import RedisError

from contactship_common import metrics
from contactship_common.runtime import Runtime
from contactship_common.tasks.catalog import QUEUES

_WAITING = """
SELECT queue, count(*)::int AS depth, extract(epoch FROM now() - min(run_at))::float8 AS oldest
  FROM tasks WHERE status = 'queued' AND run_at <= now() GROUP BY queue
"""

_WORKERS = """
SELECT queue, count(*)::int AS live FROM worker_heartbeats
 WHERE seen_at > now() - interval '30 seconds' AND queue IS NOT NULL GROUP BY queue
"""

# `error` stays until the entry is handled: what has one waits for a person, not for us.
_INBOX = """
SELECT count(*)::int AS waiting, count(error)::int AS failed,
       extract(epoch FROM now() - min(received_at) FILTER (WHERE error IS NULL))::float8 AS oldest
  FROM webhook_inbox WHERE handled_at IS NULL
"""

_PING_SECONDS = 2.0


class Backlog:
    """Sets the gauges of the queues from the table, in any scheduler that is asked."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def measure(self) -> None:
        """One look. A database that does not answer is counted and its error passed on."""
        metrics.REDIS_UP.set(await self._redis_answers())
        try:
            waiting, workers, [inbox] = [await self._rows(sql) for sql in (_WAITING, _WORKERS, _INBOX)]
        except Exception:
            metrics.DATABASE_UP.set(0)
            raise
        metrics.DATABASE_UP.set(1)
        depths = {row["queue"]: row for row in waiting}
        live = {row["queue"]: row["live"] for row in workers}
        for queue in QUEUES:
            row = depths.get(queue)
            metrics.QUEUE_DEPTH.labels(queue).set(row["depth"] if row else 0)
            metrics.QUEUE_OLDEST.labels(queue).set(row["oldest"] if row else 0.0)
            metrics.LIVE_WORKERS.labels(queue).set(live.get(queue, 0))
        metrics.DISPATCHER_LAG.set(max((row["oldest"] for row in waiting), default=0.0))
        metrics.INBOX_WAITING.set(inbox["waiting"])
        metrics.INBOX_FAILED.set(inbox["failed"])
        metrics.INBOX_OLDEST.set(inbox["oldest"] or 0.0)

    async def _rows(self, statement: str) -> list[dict[str, Any]]:
        async with self.runtime.db.fast.connection() as connection:
            return await (await connection.execute(statement)).fetchall()

    async def _redis_answers(self) -> bool:
        if self.runtime.redis.client is None:
            return False
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self.runtime.redis.client.ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return True
