"""What the queues hold, how fast they go, and who works on them: read from the tables, never from the broker."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_api.workers.schemas import QueueStats, WorkerOut, WorkerStats
from contactship_common.models.worker import SILENT_SECONDS
from contactship_common.tasks.catalog import QUEUES

_TIMED_AT_MOST = 50_000

# Each part reads one small index: those of queued and of running tasks are partial, the others end at a time. A sum
# over all of `tasks` would read every task that ever ended.
_STATS = sa.text("""
WITH waiting AS (
     SELECT queue, count(*) FILTER (WHERE run_at <= now()) AS length,
            count(*) FILTER (WHERE run_at > now()) AS delayed,
            extract(epoch FROM now() - min(run_at) FILTER (WHERE run_at <= now()))::float8 AS oldest
       FROM tasks WHERE status = 'queued' GROUP BY queue),
running AS (
     SELECT queue, count(*) AS running FROM tasks WHERE status = 'running' GROUP BY queue),
ended AS (
     SELECT queue, count(*) AS ended FROM tasks
      WHERE finished_at > now() - interval '1 hour' AND status IN ('succeeded', 'failed') GROUP BY queue),
failed AS (
     SELECT queue, count(*) AS failed FROM tasks
      WHERE finished_at > now() - interval '24 hours' AND status = 'failed' GROUP BY queue),
latest AS (
     SELECT queue, extract(epoch FROM finished_at - claimed_at)::float8 * 1000 AS ms FROM tasks
      WHERE finished_at > now() - interval '1 hour' AND status IN ('succeeded', 'failed') AND claimed_at IS NOT NULL
      ORDER BY finished_at DESC LIMIT :timed),
times AS (
     SELECT queue, avg(ms) AS average, percentile_cont(0.95) WITHIN GROUP (ORDER BY ms) AS p95
       FROM latest GROUP BY queue)
SELECT q.queue, length, delayed, oldest, running, ended, failed, average, p95, now() AS at
  FROM unnest(CAST(:queues AS text[])) AS q(queue)
  LEFT JOIN waiting USING (queue) LEFT JOIN running USING (queue) LEFT JOIN ended USING (queue)
  LEFT JOIN failed USING (queue) LEFT JOIN times USING (queue)
""")

_WORKERS = sa.text("""
SELECT id, kind, queue, threads, running, started_at, seen_at FROM worker_heartbeats
 WHERE seen_at > now() - make_interval(secs => :silent) ORDER BY kind, started_at, id
""")


async def stats(session: AsyncSession) -> WorkerStats:
    """Every queue of the catalog, also an idle one, and every worker that lives."""
    found = {row.queue: row for row in await session.execute(_STATS, {"queues": list(QUEUES), "timed": _TIMED_AT_MOST})}
    queues = [
        QueueStats(
            queue=queue,
            length=row.length or 0,
            delayed=row.delayed or 0,
            running=row.running or 0,
            oldest_waiting_seconds=_rounded(row.oldest),
            throughput_last_hour=row.ended or 0,
            failures_last_24_hours=row.failed or 0,
            average_processing_ms=_rounded(row.average),
            p95_processing_ms=_rounded(row.p95),
        )
        for queue, row in ((queue, found[queue]) for queue in QUEUES)
    ]
    workers = [
        WorkerOut(
            id=row.id,
            kind=row.kind,
            queue=row.queue,
            threads=row.threads,
            running=row.running,
            started_at=row.started_at,
            last_heartbeat_at=row.seen_at,
        )
        for row in await session.execute(_WORKERS, {"silent": SILENT_SECONDS})
    ]
    return WorkerStats(queues=queues, workers=workers, generated_at=found[QUEUES[0]].at)


def _rounded(value: float | None) -> float | None:
    return round(value, 1) if value is not None else None
