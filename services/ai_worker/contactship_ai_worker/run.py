"""What one `ask` remembers while it goes from call to call."""

from dataclasses import dataclass, field
from typing import Any, Generic
from uuid import UUID

from contactship_ai_worker.fence import fenced
from contactship_ai_worker.outcomes import Again, rule_of
from contactship_ai_worker.prompts import Prompt
from contactship_ai_worker.providers.base import InvalidAnswer, ModelRequest, ProviderError, Repair, T, Usage

LARGER_FACTOR = 4


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A validated value, who gave it, and what the whole run used, repairs and failovers included."""

    value: T
    provider: str
    model: str
    prompt_version: str
    usage: Usage


@dataclass(slots=True)
class Run(Generic[T]):
    """One question and which of its second chances are used up."""

    prompt: Prompt
    facts: dict[str, Any]
    output_model: type[T]
    kind: str
    task_id: UUID | None
    max_output_tokens: int
    usage: Usage = field(default_factory=Usage)
    last_chance_used: bool = False
    _repair: Repair | None = None
    _repaired: bool = False
    _enlarged: bool = False

    def request(self) -> ModelRequest[T]:
        """The next call, inside a fence of its own."""
        note, data = fenced(self.facts)
        return ModelRequest(
            prompt=self.prompt.name,
            instructions=f"{self.prompt.text}\n\n{note}",
            input=data,
            facts=self.facts,
            output_model=self.output_model,
            max_output_tokens=self.max_output_tokens,
            repair=self._repair,
        )

    def asks_again(self, error: ProviderError) -> bool:
        """Whether the same provider is asked once more after `error`, and prepares that call."""
        repair, self._repair = self._repair, None
        match rule_of(error).again:
            case Again.REPAIR if not self._repaired and isinstance(error, InvalidAnswer):
                self._repaired, self._repair = True, error.repair
            case Again.LARGER if not self._enlarged:
                self._enlarged, self.max_output_tokens = True, self.max_output_tokens * LARGER_FACTOR
            case Again.PLAINER:
                self._repair = repair
            case _:
                return False
        return True


def answer(run: Run[T], value: T, *, provider: str, model: str) -> Answer[T]:
    """The run's answer."""
    return Answer(value=value, provider=provider, model=model, prompt_version=run.prompt.version, usage=run.usage)
