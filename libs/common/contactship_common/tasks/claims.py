"""Claims of one worker process: those that are asked for at about the same moment are one statement."""

from collections.abc import Callable, Sequence
from typing import Literal
from uuid import UUID

import structlog

from contactship_common.db import DATABASE_AWAY, Database
from contactship_common.gathered import Gathered
from contactship_common.tasks import store
from contactship_common.tasks.store import ClaimedTask

log = structlog.get_logger()


class Claims:
    """Makes tasks `owner`'s for one lease. A busy worker pays one round trip and one commit for many of them.

    Who asks must not be cancelled: its task would be claimed for nobody.
    """

    def __init__(self, db: Database, *, owner: str, lease_seconds: float, stopping: Callable[[], bool]) -> None:
        self._db = db
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._stopping = stopping
        self._gathered: Gathered[UUID, ClaimedTask | Literal["not free"]] = Gathered(self._claim_free)

    async def claim(self, task_id: UUID) -> ClaimedTask | None:
        """The task, if it is ours now; None if there is nothing to claim (a duplicate message, not due yet), or the
        database is away: then the dispatcher rings again. Returns normally whatever happens."""
        found = await self._gathered(task_id)
        if found != "not free":
            return found
        # It may only have been locked, by somebody who is asking for it once more. That is waited for here, where it
        # holds up neither other claims nor the renewal of leases.
        try:
            return await store.claim(self._db.fast, task_id, owner=self._owner, lease_seconds=self._lease_seconds)
        except DATABASE_AWAY as error:
            log.warning("task.claim_failed", task_id=str(task_id), error=type(error).__name__)
        except Exception:
            log.exception("task.claim_failed", task_id=str(task_id))
        return None

    async def _claim_free(self, task_ids: Sequence[UUID]) -> Sequence[ClaimedTask | Literal["not free"]] | None:
        if self._stopping():
            return None
        try:
            ours = await store.claim_free(
                self._db.claims, task_ids, owner=self._owner, lease_seconds=self._lease_seconds
            )
        except DATABASE_AWAY as error:
            log.warning("task.claim_failed", count=len(task_ids), error=type(error).__name__)
            return None
        except Exception:
            log.exception("task.claim_failed", count=len(task_ids))
            return None
        # Taken out of the answer: of two messages about one task only one may run it.
        return [ours.pop(task_id, "not free") for task_id in task_ids]
