"""Which worker processes live: one row a process, renewed every few seconds."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from contactship_common.models.base import utc_column

SILENT_SECONDS = 30
"""A worker that said nothing for this long is not counted; it says something every HEARTBEAT_INTERVAL (5 s)."""


class WorkerHeartbeat(SQLModel, table=True):
    __tablename__ = "worker_heartbeats"

    id: str = Field(primary_key=True)
    kind: str
    queue: str | None = Field(default=None, index=True)
    threads: int = 0
    running: int = 0
    started_at: datetime = utc_column(default_now=True)
    seen_at: datetime = utc_column(default_now=True, index=True)
