"""Ends of runs that have nothing else to write: those of about the same moment are one statement and one commit."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import structlog

from contactship_common.db import Database, FastPool
from contactship_common.gathered import Gathered
from contactship_common.tasks import store
from contactship_common.tasks.store import FINISHED, ClaimedTask

log = structlog.get_logger()

_FINISH_FREE = f"""
WITH given AS MATERIALIZED (
     SELECT * FROM jsonb_to_recordset(CAST(%(given)s AS jsonb)) AS g(
            id uuid, run_no int, status text, result jsonb, error jsonb, counted int)),
free AS MATERIALIZED (
     SELECT tasks.id, tasks.run_no FROM tasks JOIN given ON tasks.id = given.id AND tasks.run_no = given.run_no
      WHERE tasks.status = 'running' FOR UPDATE OF tasks SKIP LOCKED)
UPDATE tasks SET {FINISHED.format(**{name: f"given.{name}" for name in ("status", "counted", "result", "error")})}
  FROM given JOIN free ON free.id = given.id AND free.run_no = given.run_no WHERE tasks.id = given.id
RETURNING tasks.id, tasks.run_no, tasks.status
"""  # noqa: S608  # all constants

_Given = tuple[ClaimedTask, dict[str, Any]]


class Endings:
    """One a process. A busy worker pays one round trip and one commit for many of them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._gathered: Gathered[_Given, str] = Gathered(self._finish_free)

    async def finish(
        self,
        task: ClaimedTask,
        status: str,
        *,
        result: dict[str, Any] | None,
        error: dict[str, Any] | None,
        counted: bool,
    ) -> str | None:
        """What `store.finish` does, in a transaction of its own.

        Returns the status the task now has; None: the run was overtaken. Raises what the database raises.
        """
        ending = {"status": status, "result": result, "error": error, "counted": int(counted)}
        if now := await self._gathered((task, ending)):
            return now
        # Overtaken, or locked by somebody who asks for it once more, or the database refused: each by itself, so that
        # nobody waits or fails for another.
        return await store.finish(self._db.fast, task, status, result=result, error=error, counted=counted)

    async def _finish_free(self, given: Sequence[_Given]) -> Sequence[str] | None:
        if len(given) == 1:
            return None
        try:
            ended = await _finish_free(self._db.fast, given)
        except Exception as error:
            log.warning("task.endings_delayed", count=len(given), error=type(error).__name__)
            return None
        return [ended.get((task.id, task.run_no), "") for task, _ in given]


async def _finish_free(pool: FastPool, given: Sequence[_Given]) -> dict[tuple[UUID, int], str]:
    rows = [{"id": str(task.id), "run_no": task.run_no, **ending} for task, ending in given]
    async with pool.connection() as connection:
        cursor = await connection.execute(_FINISH_FREE, {"given": orjson.dumps(rows).decode()})
        return {(row["id"], row["run_no"]): row["status"] for row in await cursor.fetchall()}
