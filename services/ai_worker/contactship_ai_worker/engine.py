"""Asks a language model: the providers in order, each behind its circuit, until one gives a valid answer.

What follows from a failure stands in `outcomes.TABLE`; this file only carries it out.
"""

import asyncio
import functools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import tenacity
from pydantic import BaseModel
from sqlmodel import SQLModel

from contactship_ai_worker.budget import Budget, OverBudget
from contactship_ai_worker.circuit import CircuitBreaker, State
from contactship_ai_worker.fence import Limits, prepare
from contactship_ai_worker.outcomes import (
    Again,
    Circuit,
    Next,
    clamp_wait,
    goes_to_next,
    rule_of,
    settle,
    task_outcome,
    unavailable,
)
from contactship_ai_worker.pricing import PriceList
from contactship_ai_worker.prompts import Prompt
from contactship_ai_worker.providers.base import Provider, ProviderError, T, TimedOut, Usage
from contactship_ai_worker.providers.build import build_providers
from contactship_ai_worker.rate import RequestRate
from contactship_ai_worker.recording import Recorder
from contactship_ai_worker.run import Answer, Run, answer
from contactship_ai_worker.tracing import traced
from contactship_common.models.ai_call import CallOutcome
from contactship_common.redis_edge import RedisEdge
from contactship_common.settings.ai import AISettings
from contactship_common.tasks import journal
from contactship_common.tasks.outcomes import RetryLater, TaskError

_SOON_TRIES = 3
_SOON_SECONDS = 5.0
_SOON_LONGEST_WAIT_SECONDS = 2.0


class NotAsked(Exception):
    """A provider that gets no call now: its circuit is open, or our own rate is used up."""

    def __init__(self, ending: RetryLater) -> None:
        super().__init__(ending.code)
        self.ending = ending


class AIEngine:
    """One a process, on one event loop. `clock`, `sleep` and `providers` are for tests; `keep` takes the rows of
    `ai_calls` (by default the task's journal, so outside a task give your own). `budget` None: no limit a day."""

    def __init__(
        self,
        settings: AISettings,
        redis: RedisEdge | None = None,
        *,
        providers: Sequence[Provider] | None = None,
        keep: Callable[[SQLModel], None] = journal.keep,
        budget: Budget | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._providers = list(build_providers(settings) if providers is None else providers)
        self._circuits = {provider.name: CircuitBreaker(provider.name, clock=clock) for provider in self._providers}
        self._in_flight = asyncio.Semaphore(settings.ai_concurrency)
        self._rate = RequestRate(settings.ai_requests_per_minute, redis)
        self._budget = budget
        self._recorder = Recorder(PriceList(settings.prices), budget.noting(keep) if budget else keep)
        self._sleep = sleep

    @property
    def preferred_model(self) -> str:
        """`provider:model` of the first provider: what a cached answer is compared with, also after a failover."""
        first = self._providers[0]
        return f"{first.name}:{first.model}"

    @property
    def usable(self) -> list[str]:
        """Names of the providers that would be asked now, in order; empty: tasks wait."""
        return [provider.name for provider in self._providers if self._circuits[provider.name].usable]

    @property
    def circuits(self) -> dict[str, State]:
        """State of every provider's circuit, in the order of asking."""
        return {provider.name: self._circuits[provider.name].state for provider in self._providers}

    def health(self) -> dict[str, Any]:
        """For the health port: `down` while no provider would be asked and tasks wait."""
        return {"status": "up" if self.usable else "down", "providers": dict(self.circuits)}

    async def ask(
        self,
        prompt: Prompt,
        data: BaseModel,
        output_model: type[T],
        *,
        kind: str = "",
        task_id: UUID | None = None,
        max_output_tokens: int | None = None,
        limits: Limits | None = None,
    ) -> Answer[T]:
        """`prompt` over `data`, answered as `output_model`. Every text in `data` is cleaned, cut to `limits` and,
        unless AI_SEND_PII, masked before any provider sees it.

        Raises:
            Permanent: a refusal, a question that no provider accepts, too much data.
            RetryLater: a rate limit's hint, an empty budget, or no provider usable; not counted.
            Transient: failed although repaired, retried and asked elsewhere; another run may succeed.
        """
        run = Run(
            prompt=prompt,
            facts=prepare(data, send_pii=self._settings.ai_send_pii, limits=limits or Limits()),
            output_model=output_model,
            kind=kind or prompt.name,
            task_id=task_id,
            max_output_tokens=max_output_tokens or self._settings.ai_max_output_tokens,
        )
        endings: list[TaskError] = []
        over_budget: RetryLater | None = None
        queue = deque(self._providers)
        while queue:
            provider = queue.popleft()
            try:
                value = await self._turn(provider, run)
                return answer(run, value, provider=provider.name, model=provider.model)
            except OverBudget as held:
                over_budget = held.ending
            except NotAsked as held:
                endings.append(held.ending)
                if held.ending.code == "ai_rate_limited":
                    break
            except ProviderError as error:
                endings.append(task_outcome(error, out_seconds=self._circuits[provider.name].out_seconds))
                if not goes_to_next(error):
                    break
                if rule_of(error).next is Next.LAST_CHANCE:
                    if run.last_chance_used:
                        break
                    run.last_chance_used = True
                    if not any(self._circuits[other.name].usable for other in queue):
                        queue.append(provider)
        # A question that only money keeps from another chance waits, whatever failed before.
        raise over_budget or settle(endings)

    async def aclose(self) -> None:
        """Close the connections."""
        for provider in self._providers:
            await provider.aclose()

    async def _turn(self, provider: Provider, run: Run[T]) -> T:
        """One provider's turn: its answer after the repairs and repeats that the table allows."""
        failed: ProviderError | None = None
        while True:
            try:
                return await self._with_soon_retries(provider, run)
            except NotAsked:
                if failed is not None:
                    raise failed from None
                raise
            except ProviderError as error:
                if not run.asks_again(error):
                    raise
                failed = error

    async def _with_soon_retries(self, provider: Provider, run: Run[T]) -> T:
        """Repeats what is over in seconds; anything longer gives the worker's slot back."""
        failed: ProviderError | None = None
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_is_over_soon),
            stop=tenacity.stop_after_attempt(_SOON_TRIES) | tenacity.stop_before_delay(_SOON_SECONDS),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=_SOON_LONGEST_WAIT_SECONDS),
            sleep=self._sleep,
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                try:
                    return await self._call(provider, run)
                except NotAsked:
                    if failed is not None:  # the circuit opened between two tries
                        raise failed from None
                    raise
                except ProviderError as error:
                    failed = error
                    raise
        raise AssertionError("tenacity always returns or raises")

    async def _call(self, provider: Provider, run: Run[T]) -> T:
        """One HTTP call, counted, timed and kept in the journal however it ends."""
        circuit = self._circuits[provider.name]
        if not circuit.usable:
            raise NotAsked(unavailable(circuit.out_seconds))
        await self._check_budget(provider)
        if provider.name != "local" and (wait := await self._rate.take(provider.name)):
            message = "Our own limit of requests a minute is reached."
            raise NotAsked(RetryLater("ai_rate_limited", message, delay_seconds=clamp_wait(wait)))
        async with self._in_flight:
            # Once more: it may have been used up by the calls that this one queued behind.
            await self._check_budget(provider)
            ticket = circuit.enter()
            if ticket is None:
                raise NotAsked(unavailable(circuit.out_seconds))
            started = time.perf_counter()
            keep = functools.partial(self._recorder.record, run, provider)
            try:
                async with asyncio.timeout(self._settings.ai_timeout):
                    reply = await traced(provider, run)
            except (ProviderError, TimeoutError) as raised:
                error = raised if isinstance(raised, ProviderError) else TimedOut()
                self._tell(circuit, ticket, error)
                recorded_as = rule_of(error).recorded_as
                keep(seconds=_since(started), outcome=recorded_as, usage=error.usage, code=error.code)
                raise error from None
            except BaseException as raised:
                # Cancelled (shutdown, the kind's time limit) or a bug: the vendor may charge for it all the same.
                circuit.abandoned(ticket)
                code = "cancelled" if isinstance(raised, asyncio.CancelledError) else type(raised).__name__
                keep(seconds=_since(started), outcome=CallOutcome.ERROR, usage=Usage(), code=code)
                raise
            circuit.succeeded(ticket)
            keep(seconds=_since(started), outcome=CallOutcome.SUCCESS, usage=reply.usage)
            return reply.value

    async def _check_budget(self, provider: Provider) -> None:
        if self._budget is not None and provider.name != "local":
            await self._budget.check()

    def _tell(self, circuit: CircuitBreaker, ticket: int, error: ProviderError) -> None:
        rule = rule_of(error)
        match rule.circuit:
            case Circuit.FAILURE:
                circuit.failed(ticket)
            case Circuit.OPENS:
                circuit.opens(ticket, seconds=rule.out_seconds, reason=error.code)
            case Circuit.ANSWERED:
                circuit.answered(ticket)


def _is_over_soon(error: BaseException) -> bool:
    return isinstance(error, ProviderError) and rule_of(error).again is Again.SOON


def _since(started: float) -> float:
    return time.perf_counter() - started
