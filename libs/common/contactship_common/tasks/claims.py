"""Claims of one worker process: those that are asked for at about the same moment are one statement."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import structlog

from contactship_common.db import DATABASE_AWAY, FastPool
from contactship_common.gathered import Gathered
from contactship_common.tasks import store
from contactship_common.tasks.store import ClaimedTask

log = structlog.get_logger()


class Claims:
    """Makes tasks `owner`'s for one lease. A busy worker pays one round trip and one commit for many of them."""

    def __init__(self, pool: FastPool, *, owner: str, lease_seconds: float) -> None:
        self._pool = pool
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._gathered: Gathered[UUID, ClaimedTask | Literal["alone"] | None] = Gathered(self._claim)

    async def claim(self, task_id: UUID) -> ClaimedTask | None:
        """The task, if it is ours now; None if there is nothing to claim (a duplicate message, not due yet), or the
        database is away: then the dispatcher rings again. Returns normally whatever happens."""
        found = await self._gathered(task_id)
        if found == "alone":
            answers = await self._claim([task_id])
            found = answers[0] if answers else None
        return found if isinstance(found, ClaimedTask) else None

    async def _claim(self, task_ids: Sequence[UUID]) -> Sequence[ClaimedTask | Literal["alone"] | None] | None:
        owner, lease = self._owner, self._lease_seconds
        try:
            if len(task_ids) == 1:
                return [await store.claim(self._pool, task_ids[0], owner=owner, lease_seconds=lease)]
            ours = await store.claim_free(self._pool, task_ids, owner=owner, lease_seconds=lease)
        except DATABASE_AWAY as error:
            log.warning("task.claim_failed", count=len(task_ids), error=type(error).__name__)
            return None
        except Exception:
            log.exception("task.claim_failed", count=len(task_ids))
            return None
        # Taken out of the answer: of two messages about one task only one may run it. What is missing may only have
        # been locked, by somebody who is asking for it once more: waiting for that holds up nobody else.
        return [ours.pop(task_id, "alone") for task_id in task_ids]
