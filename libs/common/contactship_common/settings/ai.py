"""Language-model providers, limits and prices."""

from decimal import Decimal
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from contactship_common.settings.fields import SettingsGroup, setting

ProviderName = Literal["openai", "gemini", "local"]
Language = Literal["es", "en", "auto"]

KNOWN_PROVIDERS: tuple[ProviderName, ...] = get_args(ProviderName)
KEYED_PROVIDERS: tuple[ProviderName, ...] = ("openai", "gemini")


class Price(BaseModel):
    """What one model costs, in micro-USD per million tokens (1 USD per million tokens = 1,000,000)."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    input: int = Field(ge=0, alias="in")
    output: int = Field(ge=0, alias="out")


def _usd(per_million_in: float, per_million_out: float) -> Price:
    return Price(input=round(per_million_in * 1_000_000), output=round(per_million_out * 1_000_000))


# Public list prices; AI_PRICES adds to them and overrides them. A dated name (gpt-4o-mini-2024-07-18) is found by
# its longest prefix.
DEFAULT_PRICES: dict[str, Price] = {
    "gpt-4o-mini": _usd(0.15, 0.60),
    "gpt-4o": _usd(2.50, 10.00),
    "gpt-4.1": _usd(2.00, 8.00),
    "gpt-4.1-mini": _usd(0.40, 1.60),
    "gpt-4.1-nano": _usd(0.10, 0.40),
    "gpt-5": _usd(1.25, 10.00),
    "gpt-5-mini": _usd(0.25, 2.00),
    "gpt-5-nano": _usd(0.05, 0.40),
    "gemini-2.0-flash": _usd(0.10, 0.40),
    "gemini-2.5-flash": _usd(0.30, 2.50),
    "gemini-2.5-flash-lite": _usd(0.10, 0.40),
    "gemini-2.5-pro": _usd(1.25, 10.00),
    "local-rules": _usd(0, 0),
}


def _split_names(value: object) -> object:
    """Providers as people write them in an environment variable: `openai, gemini`."""
    if not isinstance(value, str):
        return value
    names = tuple(name.strip().lower() for name in value.split(",") if name.strip())
    for name in names:
        if name not in KNOWN_PROVIDERS:
            raise ValueError(
                f"AI_PROVIDERS names the unknown provider {name!r}; known are {', '.join(KNOWN_PROVIDERS)} "
                "(others work through their OpenAI-compatible endpoint: openai with OPENAI_BASE_URL)"
            )
    return tuple(dict.fromkeys(names))


class AISettings(SettingsGroup):
    """Which model answers, how patiently we wait for it and what it may cost."""

    ai_providers: Annotated[tuple[ProviderName, ...], NoDecode, BeforeValidator(_split_names)] = setting(
        (),
        "AI_PROVIDERS",
        "AI_PROVIDER",
        about="Providers in the order in which they are asked, separated by commas: `openai`, `gemini`, `local`. "
        "Unset: every provider whose key is set, in that order; `local` (rules, no network) if there is none.",
        danger="`local` writes rule-made texts, not a model's; in production it should be used only when named.",
    )
    openai_api_key: SecretStr = setting(
        SecretStr(""), "OPENAI_API_KEY", secret=True, about="Key of OpenAI or of the endpoint at OPENAI_BASE_URL."
    )
    openai_base_url: str = setting(
        "https://api.openai.com/v1",
        "OPENAI_BASE_URL",
        about="Base URL of OpenAI or of anything that speaks its chat completions protocol.",
        danger="The key and the (masked) facts of leads are sent there.",
    )
    openai_model: str = setting("gpt-4o-mini", "OPENAI_MODEL", min_length=1, about="Model asked through OpenAI.")
    gemini_api_key: SecretStr = setting(
        SecretStr(""), "GEMINI_API_KEY", "GOOGLE_API_KEY", secret=True, about="Key of the Gemini API."
    )
    gemini_base_url: str = setting(
        "https://generativelanguage.googleapis.com",
        "GEMINI_BASE_URL",
        about="Base URL of the Gemini API, without the version.",
        danger="The key and the (masked) facts of leads are sent there.",
    )
    gemini_model: str = setting("gemini-2.5-flash", "GEMINI_MODEL", min_length=1, about="Model asked through Gemini.")
    ai_api_key: SecretStr = setting(
        SecretStr(""),
        "AI_API_KEY",
        secret=True,
        about="Older name: the key of the first provider in AI_PROVIDERS, `openai` if that is unset.",
    )
    ai_model: str = setting(
        "", "AI_MODEL", about="Older name: the model of the first provider in AI_PROVIDERS, `openai` if that is unset."
    )
    ai_timeout: float = setting(
        30.0, "AI_TIMEOUT", unit="seconds", gt=0, le=600, about="How long one call to a provider may take."
    )
    ai_max_retries: int = setting(
        3, "AI_MAX_RETRIES", "MAX_RETRIES", ge=1, le=20, about="How many failed runs an AI task may have."
    )
    ai_concurrency: int = setting(
        256, "AI_CONCURRENCY", ge=1, le=4096, about="Calls in flight a process; a waiting call costs next to nothing."
    )
    ai_requests_per_minute: int = setting(
        0,
        "AI_REQUESTS_PER_MINUTE",
        ge=0,
        about="Calls a minute to each provider, over all processes together; 0 = no limit of our own. While Redis "
        "is away each process counts for itself.",
    )
    ai_send_pii: bool = setting(
        False,
        "AI_SEND_PII",
        about="Send e-mail addresses and phone numbers to the provider as they are.",
        danger="Personal data leaves the process; off, both are masked in every text.",
    )
    ai_language: Language = setting(
        "es", "AI_LANGUAGE", about="Language of what the model writes: `es`, `en`, or `auto` (that of the facts)."
    )
    ai_max_output_tokens: int = setting(
        1024,
        "AI_MAX_OUTPUT_TOKENS",
        unit="tokens",
        ge=64,
        le=65_536,
        about="Limit of one answer, unless a kind of "
        "task sets its own. An answer that is cut off is asked for once more with four times as much.",
    )
    ai_prices: dict[str, Price] = setting(
        {},
        "AI_PRICES",
        about='Prices a model, as JSON: `{"gpt-4o-mini": {"in": 150000, "out": 600000}}`; added to the built-in list.',
        unit="micro-USD per million tokens",
    )
    ai_debounce_ms: int = setting(
        10_000,
        "AI_DEBOUNCE_MS",
        unit="milliseconds",
        ge=0,
        le=3_600_000,
        about="A conversation is analysed this long after its last message.",
    )
    ai_debounce_max_wait_ms: int = setting(
        60_000,
        "AI_DEBOUNCE_MAX_WAIT_MS",
        unit="milliseconds",
        ge=0,
        le=86_400_000,
        about="And at the latest this long after the first message since the last analysis.",
    )
    ai_daily_budget_usd: Decimal = setting(
        Decimal(0),
        "AI_DAILY_BUDGET_USD",
        unit="USD",
        ge=0,
        le=1_000_000_000,
        allow_inf_nan=False,
        about="What calls to paid providers may cost a day (UTC), over all processes together; 0 = no limit. When it "
        "is reached no new call is made: tasks wait until midnight or a larger budget and nothing is lost, "
        "`local` goes on where AI_PROVIDERS names it, and `contactship_ai_budget_reached` is 1. A reader of "
        "`GET /ai/usage` sees the gateway's own value of this setting.",
        danger="Calls in flight are finished and paid for: the day can cost that much more. Processes learn of each "
        "other's spending every 2 s. A model without a price in AI_PRICES is refused at start.",
    )
    ai_cache_ttl: int = setting(
        86_400,
        "AI_CACHE_TTL",
        unit="seconds",
        ge=0,
        about="A summary younger than this is not made again unless the lead's facts changed.",
    )

    @field_validator("openai_base_url", "gemini_base_url")
    @classmethod
    def _is_http_url(cls, value: str) -> str:
        value = value.strip().rstrip("/")
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value

    @field_validator("openai_api_key", "gemini_api_key", "ai_api_key")
    @classmethod
    def _is_header_safe(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value().strip()
        if not (key.isascii() and key.isprintable()):
            raise ValueError("an API key holds printable ASCII characters only")
        return SecretStr(key)

    @model_validator(mode="after")
    def _named_providers_have_keys(self) -> Self:
        for name in self.ai_providers:
            if name in KEYED_PROVIDERS and not self.key_of(name):
                raise ValueError(f"AI_PROVIDERS names {name} but {name.upper()}_API_KEY is not set")
        return self

    @property
    def provider_order(self) -> tuple[ProviderName, ...]:
        """The providers to ask, best first; never empty."""
        if self.ai_providers:
            return self.ai_providers
        return tuple(name for name in KEYED_PROVIDERS if self.key_of(name)) or ("local",)

    @property
    def daily_budget_micro_usd(self) -> int | None:
        """AI_DAILY_BUDGET_USD in micro-USD; None: there is none."""
        if not self.ai_daily_budget_usd:
            return None
        return max(1, int(self.ai_daily_budget_usd * 1_000_000))

    @property
    def local_by_default(self) -> bool:
        """Whether rules answer only because nobody configured a model: in production worth a warning."""
        return not self.ai_providers and self.provider_order == ("local",)

    def key_of(self, provider: ProviderName) -> str:
        """The key of `provider`, "" if none is set. Secret: never log it."""
        own = {"openai": self.openai_api_key, "gemini": self.gemini_api_key}.get(provider)
        if own is not None and own.get_secret_value():
            return own.get_secret_value()
        return self.ai_api_key.get_secret_value() if provider == self._older_names_mean else ""

    def model_of(self, provider: ProviderName) -> str:
        """The model asked through `provider`."""
        if provider == "local":
            return "local-rules"
        field = f"{provider}_model"
        if self.ai_model and provider == self._older_names_mean and field not in self.model_fields_set:
            return self.ai_model
        return self.openai_model if provider == "openai" else self.gemini_model

    @property
    def prices(self) -> dict[str, Price]:
        """The built-in price list with AI_PRICES laid over it."""
        return DEFAULT_PRICES | self.ai_prices

    @property
    def _older_names_mean(self) -> ProviderName:
        return next((name for name in self.ai_providers if name in KEYED_PROVIDERS), "openai")
