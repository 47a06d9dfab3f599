"""The configured providers, best first."""

from contactship_ai_worker.local_rules import RULES
from contactship_ai_worker.providers.base import Provider
from contactship_ai_worker.providers.local import LocalProvider
from contactship_common.settings.ai import AISettings, ProviderName


def build_providers(settings: AISettings) -> list[Provider]:
    """One adapter for each name in `settings.provider_order`."""
    return [_build(name, settings) for name in settings.provider_order]


def _build(name: ProviderName, settings: AISettings) -> Provider:
    if name == "local":
        return LocalProvider(RULES, settings.ai_language)
    # Imported when used: each SDK takes a second and tens of megabytes.
    if name == "openai":
        from contactship_ai_worker.providers.openai import OpenAIProvider

        return OpenAIProvider(
            key=settings.key_of("openai"),
            base_url=settings.openai_base_url,
            model=settings.model_of("openai"),
            timeout_seconds=settings.ai_timeout,
            connections=settings.ai_concurrency,
        )
    from contactship_ai_worker.providers.gemini import GeminiProvider

    return GeminiProvider(
        key=settings.key_of("gemini"),
        base_url=settings.gemini_base_url,
        model=settings.model_of("gemini"),
        timeout_seconds=settings.ai_timeout,
        connections=settings.ai_concurrency,
    )
