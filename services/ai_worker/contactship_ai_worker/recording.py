"""What is kept of every call: a row of `ai_calls`, the counters, one log line; never a word of the question."""

from collections.abc import Callable

import structlog
from sqlmodel import SQLModel

from contactship_ai_worker.pricing import PriceList
from contactship_ai_worker.providers.base import Provider, T, Usage
from contactship_ai_worker.run import Run
from contactship_common import metrics
from contactship_common.models.ai_call import AICall, CallOutcome

log = structlog.get_logger()


class Recorder:
    """Hands rows to `keep`; the task's journal writes them however the run ends."""

    def __init__(self, prices: PriceList, keep: Callable[[SQLModel], None]) -> None:
        self._prices = prices
        self._keep = keep

    def record(
        self, run: Run[T], provider: Provider, *, seconds: float, outcome: CallOutcome, usage: Usage, code: str = ""
    ) -> None:
        """Keep one call and add what it used to the run."""
        run.usage += usage
        latency_ms = round(seconds * 1000)
        cost_micro_usd = self._prices.cost_micro_usd(provider.model, usage)
        metrics.AI_CALLS.labels(provider.name, provider.model, outcome.value).inc()
        metrics.AI_TOKENS.labels(provider.name, provider.model, "in").inc(usage.input_tokens)
        metrics.AI_TOKENS.labels(provider.name, provider.model, "out").inc(usage.output_tokens)
        metrics.AI_COST.labels(provider.name, provider.model).inc(cost_micro_usd)
        self._keep(
            AICall(
                task_id=run.task_id,
                kind=run.kind,
                provider=provider.name,
                model=provider.model[:128],
                prompt=run.prompt.name,
                prompt_version=run.prompt.version,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_micro_usd=cost_micro_usd,
                latency_ms=latency_ms,
                outcome=outcome.value,
                error_code=code[:64] or None,
            )
        )
        log.info(
            "ai_call.finished",
            provider=provider.name,
            model=provider.model,
            prompt=run.prompt.name,
            outcome=outcome.value,
            error_code=code or None,
            latency_ms=latency_ms,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
