"""Shapes of /workers."""

from contactship_api.http.schemas import Out, UtcTime
from contactship_common.tasks.catalog import Queue


class QueueStats(Out):
    """One queue. `length`: due and waiting; `delayed`: waiting for their time; ages in seconds, times in milliseconds.

    Throughput counts tasks that ended in the last hour, well or not; processing times are of their last runs, from
    claim to end, null if nothing ended. Beyond 50,000 tasks an hour the times are of the newest 50,000.
    """

    queue: Queue
    length: int
    delayed: int
    running: int
    oldest_waiting_seconds: float | None
    throughput_last_hour: int
    failures_last_24_hours: int
    average_processing_ms: float | None
    p95_processing_ms: float | None


class WorkerOut(Out):
    """A process that said within the last 30 s that it lives."""

    id: str
    kind: str
    queue: Queue | None
    threads: int
    running: int
    started_at: UtcTime
    last_heartbeat_at: UtcTime


class WorkerStats(Out):
    queues: list[QueueStats]
    workers: list[WorkerOut]
    generated_at: UtcTime
