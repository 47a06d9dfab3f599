"""A model call as a span, named as OpenTelemetry's conventions for generative AI say; never a word of the call."""

from contactship_ai_worker.providers.base import Provider, ProviderError, Reply, T
from contactship_ai_worker.run import Run
from contactship_common import tracing

_VENDORS = {"gemini": "gcp.gemini"}


async def traced(provider: Provider, run: Run[T]) -> Reply[T]:
    """One call of `provider.complete`; raises what it raises."""
    about: dict[str, str | int | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _VENDORS.get(provider.name, provider.name),
        "gen_ai.request.model": provider.model,
        "gen_ai.request.max_tokens": run.max_output_tokens,
        "contactship.prompt": run.prompt.name,
        "contactship.prompt_version": run.prompt.version,
    }
    kind: tracing.Kind = "internal" if provider.name == "local" else "client"
    with tracing.span(f"chat {provider.model}", kind, about) as span:
        try:
            reply = await provider.complete(run.request())
        except ProviderError as error:
            span.fail(error.code)
            span.note(
                {
                    "gen_ai.usage.input_tokens": error.usage.input_tokens,
                    "gen_ai.usage.output_tokens": error.usage.output_tokens,
                }
            )
            raise
        span.note(
            {
                "gen_ai.usage.input_tokens": reply.usage.input_tokens,
                "gen_ai.usage.output_tokens": reply.usage.output_tokens,
            }
        )
        return reply
