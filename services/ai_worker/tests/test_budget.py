"""AI_DAILY_BUDGET_USD: when the day's money is spent, paid calls wait and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from handler_testkit import Handlers
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from vendors.ai_bench import Benches

from contactship_ai_worker.budget import LOOK_EVERY_SECONDS, Budget, budget_of
from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.handlers.summarize_lead import SummarizeLead
from contactship_common.models.ai_call import AICall
from contactship_common.models.base import new_id
from contactship_common.settings.ai import AISettings, Price
from contactship_common.tasks.catalog import LeadSummary
from contactship_common.tasks.outcomes import RetryLater
from contactship_common.tasks.runner import Runner
from contactship_common.uow import unit_of_work

DOLLAR = 1_000_000


class Day:
    """A calendar and a watch that a test moves."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.ticks = 100.0

    def __call__(self) -> datetime:
        return self.now


def make(handlers: Handlers, limit: int, day: Day | None = None) -> Budget:
    day = day or Day()
    return Budget(limit, handlers.runtime.db.fast, clock=day, ticks=lambda: day.ticks)


async def spend(handlers: Handlers, micro_usd: int, *, ago: str = "0 s") -> None:
    """What another process has stored."""
    call = AICall(
        kind="lead.summary", provider="openai", model="gpt-4o-mini", prompt="p", prompt_version="1",
        cost_micro_usd=micro_usd, outcome="success",
    )  # fmt: skip
    async with unit_of_work(handlers.runtime) as uow:
        uow.session.add(call)
    await handlers.sql("UPDATE ai_calls SET created_at = now() - %s::interval WHERE id = %s", ago, call.id)


@asynccontextmanager
async def running(handlers: Handlers, bench: Benches, budget: Budget, providers: str) -> AsyncIterator[Runner]:
    """The real handler and runner on a vendor's server."""
    engine = AIEngine(bench.settings(providers), budget=budget)
    yield Runner(handlers.runtime, {LeadSummary.KIND: SummarizeLead(engine, handlers.runtime.ai)}, owner="w")
    await engine.aclose()


def reached() -> float | None:
    return REGISTRY.get_sample_value("contactship_ai_budget_reached")


async def test_a_spent_budget_makes_tasks_wait_uncounted_and_a_larger_one_runs_them(
    handlers: Handlers, bench: Benches
) -> None:
    await spend(handlers, DOLLAR)
    task_id = await handlers.enqueue(LeadSummary(lead_id=await handlers.lead()))
    async with running(handlers, bench, make(handlers, DOLLAR), "openai,gemini") as runner:
        await runner.run(task_id)
    [row] = await handlers.sql("SELECT *, run_at - now() AS wait FROM tasks")
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 0, "ai_budget_reached")
    assert timedelta(0) < row["wait"] <= timedelta(seconds=300)
    assert (bench.openai.total, bench.gemini.total) == (0, 0)
    assert reached() == 1

    await handlers.sql("UPDATE tasks SET run_at = now()")
    async with running(handlers, bench, make(handlers, DOLLAR + 1), "openai,gemini") as runner:
        await runner.run(task_id)
    assert [row["status"] for row in await handlers.sql("SELECT status FROM tasks")] == ["succeeded"]
    assert bench.openai.total == 1


async def test_the_next_day_has_money_again(handlers: Handlers, bench: Benches) -> None:
    day = Day()
    day.now = day.now.replace(hour=12)
    await spend(handlers, DOLLAR)
    made = bench("openai", budget=make(handlers, DOLLAR, day))
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(RetryLater):
                await made.summarize()
        day.now = day.now.replace(hour=0, minute=0, second=5) + timedelta(days=1)
        assert reached() == 0
        await made.summarize()
    assert [e["event"] for e in logs if e["event"].startswith("ai_budget")] == ["ai_budget.reached", "ai_budget.free"]


async def test_the_wait_ends_just_after_midnight(handlers: Handlers, bench: Benches) -> None:
    day = Day()
    await spend(handlers, DOLLAR)
    day.now = day.now.replace(hour=23, minute=59, second=30)
    # The row was made on this day unless the test itself runs over midnight.
    await handlers.sql("UPDATE ai_calls SET created_at = %s", day.now.replace(hour=0, minute=0, second=1))
    with pytest.raises(RetryLater) as raised:
        await bench("openai", budget=make(handlers, DOLLAR, day)).summarize()
    assert raised.value.delay_seconds == pytest.approx(45, abs=15.1)


async def test_yesterdays_spending_does_not_count(handlers: Handlers, bench: Benches) -> None:
    await spend(handlers, 5 * DOLLAR, ago="25 hours")
    await bench("openai", budget=make(handlers, DOLLAR)).summarize()


async def test_rules_go_on_where_they_are_named(handlers: Handlers, bench: Benches) -> None:
    await spend(handlers, DOLLAR)
    budget = make(handlers, DOLLAR)
    assert (await bench("openai,local", budget=budget).summarize()).provider == "local"
    assert (await bench("local,openai", budget=budget).summarize()).provider == "local"
    with pytest.raises(RetryLater):
        await bench("openai", budget=budget).summarize()
    assert bench.openai.total == 0


async def test_a_worker_knows_its_own_spending_before_it_is_stored(handlers: Handlers, bench: Benches) -> None:
    made = bench("openai", budget=make(handlers, 1))
    await made.summarize()
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert raised.value.code == "ai_budget_reached"
    assert bench.openai.total == 1


@pytest.mark.parametrize("in_flight", [1, 8])
async def test_fifty_at_once_overspend_at_most_by_what_was_in_flight(
    handlers: Handlers, bench: Benches, in_flight: int
) -> None:
    price = bench("openai")
    await price.summarize()
    cost = price.rows[0].cost_micro_usd
    bench.openai.reset()
    bench.openai.always("ok", latency=0.02)
    limit = 10 * cost
    made = bench("openai", budget=make(handlers, limit), ai_concurrency=in_flight)
    endings = await asyncio.gather(*(made.summarize() for _ in range(50)), return_exceptions=True)
    assert {type(e) for e in endings if isinstance(e, BaseException)} == {RetryLater}
    spent = sum(row.cost_micro_usd for row in made.rows)
    assert limit <= spent < limit + in_flight * cost
    assert bench.openai.total == len(made.rows)


async def test_all_processes_share_one_budget(handlers: Handlers, bench: Benches) -> None:
    day = Day()
    made = bench("openai", budget=make(handlers, DOLLAR, day))
    await made.summarize()
    await spend(handlers, DOLLAR)
    day.ticks += LOOK_EVERY_SECONDS
    with pytest.raises(RetryLater):
        await made.summarize()


async def test_what_is_stored_is_counted_once(handlers: Handlers, bench: Benches) -> None:
    day = Day()
    budget = make(handlers, DOLLAR, day)
    async with running(handlers, bench, budget, "openai") as runner:
        for _ in range(3):
            await runner.run(await handlers.enqueue(LeadSummary(lead_id=await handlers.lead())))
            day.ticks += LOOK_EVERY_SECONDS
            await budget.check()
    [row] = await handlers.sql("SELECT sum(cost_micro_usd)::int AS spent, count(*) AS calls FROM ai_calls")
    assert row["calls"] == 3
    assert budget.spent_micro_usd == row["spent"]


async def test_old_and_new_rows_of_the_day_are_summed_once_over_many_looks(handlers: Handlers) -> None:
    day = Day()
    day.now = await noon(handlers)
    budget = make(handlers, DOLLAR, day)
    for ago in ("0 s", "2 minutes", "10 minutes", "2 hours"):
        await spend(handlers, 100, ago=ago)
        day.ticks += LOOK_EVERY_SECONDS
        await budget.check()
    fresh = make(handlers, DOLLAR, day)
    await fresh.check()
    assert fresh.spent_micro_usd == 400


async def noon(handlers: Handlers) -> datetime:
    """A day that began at least twelve hours ago by the database's clock, so that two hours ago is today."""
    [row] = await handlers.sql("SELECT now() - interval '12 hours' AS at")
    at: datetime = row["at"]
    return at


async def test_a_repair_that_cannot_be_paid_waits_and_does_not_fail_the_task(
    handlers: Handlers, bench: Benches
) -> None:
    made = bench("openai", budget=make(handlers, 1))
    bench.openai.script("schema_breaking")
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert raised.value.code == "ai_budget_reached"
    assert made.outcomes == ["openai:invalid"]


async def test_while_the_database_is_away_nothing_is_bought_blindly(handlers: Handlers, bench: Benches) -> None:
    made = bench("openai,local", budget=make(handlers, DOLLAR))
    await handlers.runtime.db.fast.close()
    assert (await made.summarize()).provider == "local"
    assert bench.openai.total == 0


async def test_a_call_is_kept_whatever_the_budget(handlers: Handlers) -> None:
    kept: list[Any] = []
    budget = make(handlers, DOLLAR)
    row = AICall(id=new_id(), kind="k", provider="openai", model="m", prompt="p", prompt_version="1", outcome="success")
    budget.noting(kept.append)(row)
    assert kept == [row]
    assert budget.spent_micro_usd == 0


@pytest.mark.parametrize(("text", "micro_usd"), [("", None), ("0", None), ("0.5", 500_000), ("0.0000001", 1)])
def test_the_setting_is_in_dollars(monkeypatch: pytest.MonkeyPatch, text: str, micro_usd: int | None) -> None:
    monkeypatch.setenv("AI_DAILY_BUDGET_USD", text)
    assert AISettings().daily_budget_micro_usd == micro_usd


@pytest.mark.parametrize("text", ["-1", "ten", "nan", "inf"])
def test_a_wrong_budget_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AI_DAILY_BUDGET_USD", text)
    with pytest.raises(ValueError, match=r"(?i)ai_daily_budget_usd"):
        AISettings()


async def test_a_budget_over_a_model_without_a_price_is_refused(handlers: Handlers) -> None:
    given: dict[str, Any] = {"ai_providers": "openai", "openai_api_key": "k", "openai_model": "house-model"}
    pool = handlers.runtime.db.fast
    assert budget_of(AISettings(**given), pool) is None
    with pytest.raises(ValueError, match="AI_PRICES has no price for the model house-model"):
        budget_of(AISettings(**given, ai_daily_budget_usd=Decimal(1)), pool)
    prices = {"house-model": Price(input=0, output=0)}
    assert budget_of(AISettings(**given, ai_daily_budget_usd=Decimal(1), ai_prices=prices), pool) is not None
