"""How much waits, and for how long: what operators scale and alert on."""

from contactship_common import metrics
from contactship_common.runtime import Runtime
from contactship_common.tasks.catalog import QUEUES

_WAITING = """
SELECT queue, count(*)::int AS depth, extract(epoch FROM now() - min(run_at))::float8 AS oldest
  FROM tasks WHERE status = 'queued' AND run_at <= now() GROUP BY queue
"""


class Backlog:
    """Sets the gauges of the queues from the table, in any scheduler that is asked."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def measure(self) -> None:
        async with self.runtime.db.fast.connection() as connection:
            cursor = await connection.execute(_WAITING)
            waiting = {row["queue"]: row for row in await cursor.fetchall()}
        for queue in QUEUES:
            row = waiting.get(queue)
            metrics.QUEUE_DEPTH.labels(queue).set(row["depth"] if row else 0)
            metrics.QUEUE_OLDEST.labels(queue).set(row["oldest"] if row else 0.0)
        metrics.DISPATCHER_LAG.set(max((row["oldest"] for row in waiting.values()), default=0.0))
