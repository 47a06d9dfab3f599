"""Rules in place of a model: deterministic, instant, no network; the default where no key is set."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from contactship_ai_worker.providers.base import BadRequest, InvalidAnswer, ModelRequest, Repair, Reply, T, Usage
from contactship_common.settings.ai import Language

Rules = Callable[[Mapping[str, Any], Language, type[BaseModel]], BaseModel]
"""Facts, language and output model to an answer; where the model is configured, its fields say what is asked."""


class LocalProvider:
    """Answers a prompt by the rules registered under its name; they see the same cleaned facts a model would."""

    name = "local"
    model = "local-rules"

    def __init__(self, rules: Mapping[str, Rules], language: Language) -> None:
        self._rules = rules
        self._language = language

    async def complete(self, request: ModelRequest[T]) -> Reply[T]:
        rules = self._rules.get(request.prompt)
        if rules is None:
            raise BadRequest("no_local_rules")
        try:
            answer = rules(request.facts, self._language, request.output_model)
            return Reply(request.output_model.model_validate_json(answer.model_dump_json()), Usage())
        except ValidationError:
            raise InvalidAnswer(repair=Repair("", "The rules broke the output model.")) from None

    async def aclose(self) -> None:
        """Nothing is open."""
