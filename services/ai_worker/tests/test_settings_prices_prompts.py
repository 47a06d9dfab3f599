"""Settings, prices, prompts, schemas and hashes."""

from contextlib import AsyncExitStack
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from pydantic import Field, ValidationError
from structlog.testing import capture_logs

from contactship_ai_worker.lead_summary import LeadFacts, LeadSummaryOutput, facts_hash
from contactship_ai_worker.main import make_handlers
from contactship_ai_worker.pricing import PriceList
from contactship_ai_worker.prompts import load_prompt
from contactship_ai_worker.providers.base import OutputModel, Usage
from contactship_ai_worker.providers.schema import gemini_schema, openai_schema
from contactship_common.runtime import Runtime
from contactship_common.settings import CoreSettings
from contactship_common.settings.ai import AISettings
from contactship_common.settings.core import Environment


def _settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> AISettings:
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "AI_API_KEY", "AI_PROVIDERS", "AI_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return AISettings()


ORDERS: list[tuple[dict[str, str], tuple[str, ...]]] = [
    ({}, ("local",)),
    ({"OPENAI_API_KEY": "k"}, ("openai",)),
    ({"GEMINI_API_KEY": "k"}, ("gemini",)),
    ({"GEMINI_API_KEY": "k", "OPENAI_API_KEY": "k"}, ("openai", "gemini")),
    ({"GEMINI_API_KEY": "k", "OPENAI_API_KEY": "k", "AI_PROVIDERS": " gemini , OpenAI,local"},
     ("gemini", "openai", "local")),
    ({"OPENAI_API_KEY": "k", "AI_PROVIDERS": "local"}, ("local",)),
    ({"AI_API_KEY": "k"}, ("openai",)),
    ({"AI_API_KEY": "k", "AI_PROVIDER": "gemini"}, ("gemini",)),
    ({"OPENAI_API_KEY": "", "AI_PROVIDERS": ""}, ("local",)),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "order"), ORDERS)
def test_the_providers_asked(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], order: tuple[str]) -> None:
    assert _settings(monkeypatch, **environment).provider_order == order


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AI_PROVIDERS": "openai,claude"}, "unknown provider 'claude'"),
        ({"AI_PROVIDERS": "gemini"}, "GEMINI_API_KEY is not set"),
        ({"AI_PROVIDERS": "gemini", "OPENAI_API_KEY": "k"}, "GEMINI_API_KEY is not set"),
        ({"OPENAI_BASE_URL": "api.example.com"}, "must start with http"),
        ({"OPENAI_API_KEY": "clé-secrète"}, "printable ASCII"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as raised:
        _settings(monkeypatch, **environment)
    assert "secrète" not in str(raised.value)


def test_older_names_mean_the_named_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, AI_PROVIDER="gemini", AI_API_KEY="k", AI_MODEL="gemini-x", MAX_RETRIES="7")
    assert (settings.key_of("gemini"), settings.model_of("gemini"), settings.ai_max_retries) == ("k", "gemini-x", 7)
    assert settings.model_of("openai") == "gpt-4o-mini"
    assert "'k'" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "providers", "warned"),
    [("production", "", True), ("production", "local", False), ("development", "", False)],
)
async def test_a_start_in_production_warns_of_rules_that_nobody_chose(
    monkeypatch: pytest.MonkeyPatch, environment: str, providers: str, warned: bool
) -> None:
    nowhere = CoreSettings(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        redis_url="redis://127.0.0.1:1/0",
        environment=Environment(environment),
    )
    runtime = Runtime(nowhere, _settings(monkeypatch, AI_PROVIDERS=providers))
    async with AsyncExitStack() as stack:
        with capture_logs() as logs:
            make_handlers(runtime, stack)
    warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert warnings == (["ai.local_only"] if warned else [])


def test_prices_add_to_the_built_in_list(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(monkeypatch, AI_PRICES='{"own": {"in": 1000000, "out": 2000000}}')
    prices = PriceList(settings.prices)
    assert prices.cost_micro_usd("own", Usage(10, 20)) == 50
    assert prices.cost_micro_usd("gpt-4o-mini", Usage(1_000_000, 1_000_000)) == 750_000


@pytest.mark.parametrize(
    ("model", "micro_usd"),
    [
        ("gpt-4o-mini", 150),
        ("gpt-4o-mini-2024-07-18", 150),
        ("gpt-4o-2024-08-06", 2_500),
        ("models/gemini-2.5-flash", 300),
        ("gemini-2.5-flash-lite-preview", 100),
        ("gpt-4onion", 0),
        ("local-rules", 0),
    ],
)
def test_a_dated_model_costs_what_its_family_costs(model: str, micro_usd: int) -> None:
    assert PriceList(AISettings().prices).cost_micro_usd(model, Usage(1_000, 0)) == micro_usd


def test_the_smallest_call_is_not_free() -> None:
    assert PriceList(AISettings().prices).cost_micro_usd("gpt-4o-mini", Usage(1, 0)) == 1


def test_a_prompt_has_a_version_and_a_hash_for_each_language() -> None:
    spanish, english = load_prompt("lead_summary", "es"), load_prompt("lead_summary", "en")
    assert spanish.version == english.version == "1"
    assert spanish.hash != english.hash
    assert "{{" not in spanish.text
    with pytest.raises(FileNotFoundError):
        load_prompt("no_such_prompt")


def test_the_facts_hash_is_stable_and_follows_what_matters() -> None:
    facts = LeadFacts(full_name="Ana \ud800", status="new", source="web")
    prompt = load_prompt("lead_summary")
    first = facts_hash(facts, prompt, "openai:gpt-4o-mini")
    assert first == facts_hash(facts.model_copy(), prompt, "openai:gpt-4o-mini")
    assert len(first) == 64
    others = {
        facts_hash(facts.model_copy(update={"age": 41}), prompt, "openai:gpt-4o-mini"),
        facts_hash(facts, load_prompt("lead_summary", "en"), "openai:gpt-4o-mini"),
        facts_hash(facts, prompt, "gemini:gemini-2.5-flash"),
    }
    assert len(others | {first}) == 4


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Part(OutputModel):
    size: int = Field(ge=1, le=5)


class Everything(OutputModel):
    colour: Colour
    note: str | None = Field(default=None, max_length=20)
    parts: list[Part] = Field(min_length=1, max_length=3)
    share: float = Field(ge=0, le=1)


def test_schemas_keep_to_each_vendors_subset() -> None:
    strict, gemini = openai_schema(Everything), gemini_schema(Everything)
    assert strict["required"] == ["colour", "note", "parts", "share"]
    assert strict["additionalProperties"] is False
    assert strict["properties"]["note"]["anyOf"][1] == {"type": "null"}
    assert strict["properties"]["parts"]["items"]["required"] == ["size"]
    assert not _keys(strict) & {"minLength", "maxLength", "default", "title", "$ref", "$defs"}
    assert gemini["properties"]["colour"] == {"enum": ["red", "blue"], "type": "STRING"}
    assert gemini["properties"]["note"] == {"type": "STRING", "maxLength": 20, "nullable": True}
    assert gemini["propertyOrdering"] == ["colour", "note", "parts", "share"]
    assert not _keys(gemini) & {"additionalProperties", "default", "title", "$ref", "$defs", "anyOf"}


def _keys(node: Any) -> set[str]:
    if isinstance(node, list):
        return {key for item in node for key in _keys(item)}
    if not isinstance(node, dict):
        return set()
    return set(node) | {key for item in node.values() for key in _keys(item)}


@pytest.mark.parametrize("chars", [50, 300])
def test_the_limits_of_a_summary_count_characters_after_trimming(chars: int) -> None:
    text = "ñ" * chars
    output = LeadSummaryOutput(summary=f"  {text}\n", next_action="n" * 20)
    assert output.summary == text


def test_wrong_types_are_not_converted() -> None:
    with pytest.raises(ValidationError):
        Part.model_validate_json('{"size": "3"}')
    with pytest.raises(ValidationError):
        Part.model_validate({"size": Decimal(3)})
