"""The shape of a handler: load, work, record, and optionally failed.

The steps are separate so that no transaction can span a network call: `load` has a session and no network, `work` has
no session in reach, `record` runs in the transaction that finishes the task.
"""

from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.tasks.catalog import TaskKind
from contactship_common.tasks.outcomes import Again, Done, GivenUp, Skip, TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork

P = TypeVar("P", bound=TaskKind)
L = TypeVar("L")
R = TypeVar("R")


class Handler(Generic[P, L, R]):
    """Does one kind of task. One instance serves all runs at once, so it keeps no state of a run.

    `payload` is the typed task; `task` adds ids and times of this run.
    """

    async def load(self, session: AsyncSession, payload: P, task: ClaimedTask) -> L | Done | Skip:
        """Read what `work` needs, in a transaction of its own. May run twice. No network."""
        raise NotImplementedError

    async def work(self, payload: P, loaded: L) -> R:
        """The slow part: network, no database. Limited to the kind's `LIMIT_SECONDS`."""
        raise NotImplementedError

    async def record(
        self, uow: UnitOfWork, payload: P, task: ClaimedTask, loaded: L, result: R
    ) -> dict[str, Any] | Again | GivenUp | None:
        """Store the outcome, in the same transaction as finishing the task. Returns what `GET /tasks/{id}` shows, or
        that the task is to run again, or has failed, and what was written is to stay."""
        raise NotImplementedError

    async def failed(self, uow: UnitOfWork, payload: P, task: ClaimedTask, error: TaskError) -> None:
        """The task has failed for good; same transaction as ending it. Never overwrite an earlier good result."""


AnyHandler = Handler[Any, Any, Any]
