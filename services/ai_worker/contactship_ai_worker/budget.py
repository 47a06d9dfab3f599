"""AI_DAILY_BUDGET_USD: no new call to a paid provider once today's calls, over all processes, have cost that much.

Spent is what `ai_calls` says of today (UTC) plus what this process has spent and not stored yet. Rows are written when
a run ends: a process knows its own spending at once, and that of the others at most `LOOK_EVERY_SECONDS` after that.

The bound. A call's price is known when it has ended, so the day costs at most the budget, plus the calls in flight in
all processes when it is reached (`AI_CONCURRENCY` each), plus what other processes spent in runs that ended within the
last `LOOK_EVERY_SECONDS` or still go on. A call that was cancelled or timed out tells no tokens and counts as nothing.
"""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from sqlmodel import SQLModel

from contactship_ai_worker.pricing import PriceList
from contactship_common import metrics
from contactship_common.db import DATABASE_AWAY, FastPool
from contactship_common.models.ai_call import AICall
from contactship_common.settings.ai import AISettings
from contactship_common.tasks.outcomes import RetryLater

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 2.0
LONGEST_WAIT_SECONDS = 270.0
_SPREAD_SECONDS = 30.0
_BLIND_SECONDS = 60.0

# Rows of the last minutes are summed at every look, older ones once: a row becomes visible at its commit, up to a
# transaction's length after its `created_at`.
_SPENT = """
WITH bounds AS (SELECT greatest(%(since)s::timestamptz, now() - interval '3 minutes') AS settled)
SELECT settled,
       coalesce(sum(cost_micro_usd) FILTER (WHERE created_at < settled), 0)::bigint AS settled_cost,
       coalesce(sum(cost_micro_usd) FILTER (WHERE created_at >= settled), 0)::bigint AS recent_cost,
       (SELECT coalesce(array_agg(id), '{}') FROM ai_calls WHERE id = ANY(%(mine)s)) AS stored
  FROM bounds LEFT JOIN ai_calls ON created_at >= %(since)s
 GROUP BY settled
"""


class OverBudget(Exception):
    """The call is not made; `ending` is what the task does."""

    def __init__(self, ending: RetryLater) -> None:
        super().__init__(ending.code)
        self.ending = ending


class Budget:
    """One a process. `clock` tells the day; `ticks`, in seconds, how old what is known is."""

    def __init__(
        self,
        daily_micro_usd: int,
        pool: FastPool,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = daily_micro_usd
        self._pool = pool
        self._clock = clock
        self._ticks = ticks
        self._looking = asyncio.Lock()
        self._looked_at: float | None = None
        self._known_at: float | None = None
        self._mine: dict[UUID, int] = {}  # calls of this process that are not in the table yet, and what they cost
        self._today = self._start_of_day()
        self._settled_until = self._today
        self._settled = self._recent = 0
        self._reached = False
        metrics.AI_BUDGET_REACHED.set_function(lambda: float(self._reached and self._today == self._start_of_day()))

    @property
    def spent_micro_usd(self) -> int:
        """What is known to be spent today."""
        return self._settled + self._recent + sum(self._mine.values())

    async def check(self) -> None:
        """Return if a call may be made now. Nothing is awaited after the judgement, so what is noted is seen by all.

        Raises:
            OverBudget
        """
        if self._is_stale:
            async with self._looking:
                if self._is_stale:
                    await self._look()
        if self._known_at is None or self._ticks() - self._known_at >= _BLIND_SECONDS:
            message = "What was spent today is not known at the moment."
            raise OverBudget(RetryLater("ai_budget_unknown", message, delay_seconds=2 * LOOK_EVERY_SECONDS))
        self._judge()
        if self._reached:
            metrics.AI_BUDGET_HELD.inc()
            raise OverBudget(self._wait())

    def noting(self, keep: Callable[[SQLModel], None]) -> Callable[[SQLModel], None]:
        """`keep`, which also counts the call's cost here at once."""

        def note(row: SQLModel) -> None:
            keep(row)
            if isinstance(row, AICall) and row.cost_micro_usd:
                self._mine[row.id] = row.cost_micro_usd

        return note

    @property
    def _is_stale(self) -> bool:
        if self._looked_at is None or self._today != self._start_of_day():
            return True
        return self._ticks() - self._looked_at >= LOOK_EVERY_SECONDS

    async def _look(self) -> None:
        today = self._start_of_day()
        if today != self._today:
            # What ended before midnight and is stored after it counts to the new day, from the table.
            self._today, self._settled_until, self._known_at = today, today, None
            self._settled = self._recent = 0
            self._mine.clear()
        mine = list(self._mine)
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(_SPENT, {"since": self._settled_until, "mine": mine})
                row = await cursor.fetchone()
        except DATABASE_AWAY as error:
            log.warning("ai_budget.unknown", error=type(error).__name__)
            return
        finally:
            # Also when it failed: those who queue for the lock must not all wait for the pool, one after the other.
            self._looked_at = self._ticks()
        if row is None:
            raise RuntimeError("an aggregate always has a row")
        self._settled += row["settled_cost"]
        self._settled_until, self._recent = row["settled"], row["recent_cost"]
        for stored in row["stored"]:
            self._mine.pop(stored, None)
        self._known_at = self._ticks()

    def _judge(self) -> None:
        spent = self.spent_micro_usd
        reached = spent >= self._limit
        if reached and not self._reached:
            log.error(
                "ai_budget.reached", limit_micro_usd=self._limit, spent_micro_usd=self.spent_micro_usd, alert=True
            )
        elif self._reached and not reached:
            log.info("ai_budget.free", limit_micro_usd=self._limit, spent_micro_usd=self.spent_micro_usd)
        self._reached = reached

    def _wait(self) -> RetryLater:
        """Until just after midnight, but looking again within minutes: the budget may be raised. Spread, so that what
        was stopped together does not come back together."""
        midnight = (self._start_of_day() + timedelta(days=1) - self._clock()).total_seconds()
        seconds = min(midnight, LONGEST_WAIT_SECONDS) + random.uniform(1, _SPREAD_SECONDS)  # noqa: S311  # no secret
        message = "Today's budget for language models is used up."
        return RetryLater("ai_budget_reached", message, delay_seconds=seconds, patient=True)

    def _start_of_day(self) -> datetime:
        return self._clock().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def budget_of(settings: AISettings, pool: FastPool) -> Budget | None:
    """The budget that is set, None if there is none.

    Raises:
        ValueError: a paid provider's model has no price, so no budget could stop it.
    """
    limit = settings.daily_budget_micro_usd
    if limit is None:
        return None
    prices = PriceList(settings.prices)
    for name in settings.provider_order:
        if not prices.knows(model := settings.model_of(name)):
            raise ValueError(f"AI_DAILY_BUDGET_USD is set, but AI_PRICES has no price for the model {model}")
    return Budget(limit, pool)
