"""An AI engine with the real adapters on local vendor servers: no clock is waited for, nothing is patched."""

from dataclasses import dataclass, field
from typing import Any

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.lead_summary import LeadFacts, LeadSummaryOutput
from contactship_ai_worker.prompts import load_prompt
from contactship_ai_worker.run import Answer
from contactship_common.models.ai_call import AICall
from contactship_common.settings.ai import AISettings
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer
from vendors.server import VendorServer

ANA = LeadFacts(full_name="Ana Gómez", status="new", source="carga manual", age=41, profession="Arquitecta")


@dataclass
class Clock:
    """Time that passes only when told to, or when somebody sleeps on it."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Bench:
    """An engine, the rows it kept, and its clock."""

    engine: AIEngine
    rows: list[AICall]
    clock: Clock

    async def summarize(self, facts: LeadFacts = ANA, **options: Any) -> Answer[LeadSummaryOutput]:
        return await self.engine.ask(load_prompt("lead_summary"), facts, LeadSummaryOutput, **options)

    @property
    def outcomes(self) -> list[str]:
        return [f"{row.provider}:{row.outcome}" for row in self.rows]


class Benches:
    """Makes engines and closes them at the end of the test."""

    def __init__(self, openai: OpenAIServer, gemini: GeminiServer) -> None:
        self.openai, self.gemini = openai, gemini
        self._made: list[AIEngine] = []

    def settings(self, providers: str, **options: Any) -> AISettings:
        given: dict[str, Any] = {
            "ai_providers": providers,
            "openai_api_key": "sk-test",
            "openai_base_url": self.openai.base_url,
            "gemini_api_key": "g-test",
            "gemini_base_url": self.gemini.base_url,
            "ai_timeout": 5.0,
        }
        return AISettings(**given | options)

    def __call__(self, providers: str, *, redis: Any = None, budget: Any = None, **options: Any) -> Bench:
        rows: list[AICall] = []
        clock = Clock()
        keep: Any = rows.append
        settings = self.settings(providers, **options)
        engine = AIEngine(settings, redis, keep=keep, budget=budget, clock=clock, sleep=clock.sleep)
        self._made.append(engine)
        return Bench(engine, rows, clock)

    def server(self, provider: str) -> VendorServer:
        return self.openai if provider == "openai" else self.gemini

    async def aclose(self) -> None:
        for engine in self._made:
            await engine.aclose()
