"""What model calls used and cost."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.ai.schemas import BudgetState, GroupBy, Sums, Usage, UsageRow, usd
from contactship_api.http.problems import Invalid
from contactship_common.models import AICall

DEFAULT_SPAN = timedelta(days=30)
LONGEST_SPAN = timedelta(days=366)

_day = sa.cast(sa.func.timezone("UTC", col(AICall.created_at)), sa.Date)
_KEYS: dict[GroupBy, dict[str, Any]] = {
    "day": {"day": _day},
    "model": {"provider": col(AICall.provider), "model": col(AICall.model)},
    "kind": {"kind": col(AICall.kind)},
}


@dataclass(slots=True)
class _Added:
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0
    latency_ms: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, row: Any) -> None:
        self.calls += row.calls
        self.input_tokens += int(row.input_tokens)
        self.output_tokens += int(row.output_tokens)
        self.cost_micro_usd += int(row.cost_micro_usd)
        self.latency_ms += int(row.latency_ms)
        self.outcomes[row.outcome] += row.calls

    def sums(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_micro_usd": self.cost_micro_usd,
            "cost_usd": usd(self.cost_micro_usd),
            "average_latency_ms": round(self.latency_ms / self.calls, 1) if self.calls else None,
            "outcomes": dict(sorted(self.outcomes.items())),
        }


def bounded_span(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """The span to sum: open ends become now and 30 days before.

    Raises:
        Invalid: it is longer than 366 days.
    """
    until = until or max(datetime.now(UTC), since or datetime.min.replace(tzinfo=UTC))
    if since is None:
        since = until - min(DEFAULT_SPAN, until - datetime.min.replace(tzinfo=UTC))
    if until - since > LONGEST_SPAN:
        raise Invalid([{"path": "query.from", "message": "At most 366 days at a time", "code": "span_too_long"}])
    return since, until


async def read(
    session: AsyncSession, since: datetime, until: datetime, group_by: GroupBy, daily_micro_usd: int | None
) -> Usage:
    """Sums of `[since, until)`, by day in order, otherwise what cost most first."""
    keys = _KEYS[group_by]
    statement = (
        sa.select(
            *(column.label(name) for name, column in keys.items()),
            col(AICall.outcome),
            sa.func.count().label("calls"),
            *(
                sa.func.sum(getattr(AICall, name)).label(name)
                for name in ("input_tokens", "output_tokens", "cost_micro_usd", "latency_ms")
            ),
        )
        .where(col(AICall.created_at) >= since, col(AICall.created_at) < until)
        .group_by(*keys.values(), col(AICall.outcome))
    )
    groups: dict[tuple[Any, ...], _Added] = {}
    totals = _Added()
    for row in await session.execute(statement):
        groups.setdefault(tuple(getattr(row, name) for name in keys), _Added()).add(row)
        totals.add(row)
    unknown: dict[str, Any] = dict.fromkeys(("day", "provider", "model", "kind"))
    by_cost = group_by != "day"
    ordered = sorted(groups.items(), key=lambda item: (-item[1].cost_micro_usd if by_cost else 0, item[0]))
    data = [UsageRow(**unknown | dict(zip(keys, key, strict=True)) | added.sums()) for key, added in ordered]
    spent = await spent_today(session)
    return Usage.model_validate(
        {
            "from": since,
            "to": until,
            "data": data,
            "totals": Sums(**totals.sums()),
            "budget": BudgetState(
                daily_usd=usd(daily_micro_usd) if daily_micro_usd is not None else None,
                spent_today_usd=usd(spent),
                reached=daily_micro_usd is not None and spent >= daily_micro_usd,
            ),
        }
    )


async def spent_today(session: AsyncSession) -> int:
    """Micro-USD of the calls stored since midnight UTC."""
    midnight = sa.func.date_trunc("day", sa.func.now(), "UTC")
    statement = sa.select(sa.func.coalesce(sa.func.sum(AICall.cost_micro_usd), 0)).where(
        col(AICall.created_at) >= midnight
    )
    return int((await session.execute(statement)).scalar_one())
