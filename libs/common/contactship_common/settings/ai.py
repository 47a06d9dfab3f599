"""Language-model providers, limits and prices."""

from contactship_common.settings.fields import SettingsGroup, setting


class AISettings(SettingsGroup):
    """Which model answers, how patiently we wait for it and what it may cost."""

    ai_cache_ttl: int = setting(
        86_400, "AI_CACHE_TTL", unit="seconds", ge=0, about="A summary younger than this is not made again unless the "
        "lead's facts changed."
    )
