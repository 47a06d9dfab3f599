"""The model of handler tests: a provider like the others, behind the real engine."""

from collections.abc import Awaitable, Callable
from typing import Any

from contactship_ai_worker.providers.base import ModelRequest, Reply, T, Usage


class Model:
    """Answers with a summary that carries the number of the call. `meanwhile` is awaited before the answer, or raises
    the provider error that takes its place."""

    name = "openai"

    def __init__(self) -> None:
        self.model = "model-1"
        self.asked: list[dict[str, Any]] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def complete(self, request: ModelRequest[T]) -> Reply[T]:
        self.asked.append(request.facts)
        number = len(self.asked)
        if self.meanwhile is not None:
            now, self.meanwhile = self.meanwhile, None
            await now()
        text = f"Respuesta {number}: {request.facts['full_name']} es un lead que llegó hace poco."
        value = request.output_model.model_validate(
            {"summary": text.ljust(60, "."), "next_action": f"Llamar mañana, paso {number}."}
        )
        return Reply(value, Usage(10, 5))

    async def aclose(self) -> None:
        """Nothing is open."""
