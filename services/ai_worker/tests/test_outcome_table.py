"""Every row of the table, on both real adapters, over HTTP."""

from dataclasses import dataclass
from typing import Any

import pytest
from vendors.ai_bench import Benches
from vendors.server import Say

from contactship_ai_worker.outcomes import TABLE
from contactship_ai_worker.providers import base
from contactship_common.models.ai_call import CallOutcome
from contactship_common.tasks.outcomes import Permanent, RetryLater, TaskError, Transient

PROVIDERS = ["openai", "gemini"]


@dataclass(frozen=True)
class Row:
    """`says` always → the task ends as `ends` with `code`, after `calls` calls recorded as `recorded`."""

    says: str
    ends: type[TaskError]
    code: str
    calls: int
    recorded: str
    circuit: str = "closed"
    only: str = ""


ROWS = [
    Row("empty", Permanent, "ai_invalid_answer", 3, "invalid"),
    Row("invalid_json", Permanent, "ai_invalid_answer", 3, "invalid"),
    Row("prose", Permanent, "ai_invalid_answer", 3, "invalid"),
    Row("schema_breaking", Permanent, "ai_invalid_answer", 3, "invalid"),
    Row("refusal", Permanent, "ai_refused", 1, "refused"),
    Row("content_filter", Permanent, "ai_refused", 1, "refused"),
    Row("content_policy", Permanent, "ai_refused", 1, "refused", only="openai"),
    Row("truncated", Transient, "ai_truncated", 2, "truncated"),
    Row("bad_request", Permanent, "ai_bad_request", 1, "bad_request"),
    Row("not_found", Permanent, "ai_bad_request", 1, "bad_request", only="openai"),
    Row("unprocessable", Permanent, "ai_bad_request", 1, "bad_request"),
    Row("context_too_long", Permanent, "ai_context_too_long", 1, "bad_request"),
    Row("unknown_model", Permanent, "ai_unknown_model", 1, "bad_request"),
    Row("unauthorized", RetryLater, "ai_key_refused", 1, "auth", "open"),
    Row("forbidden", RetryLater, "ai_key_refused", 1, "auth", "open"),
    Row("bad_key", RetryLater, "ai_key_refused", 1, "auth", "open", only="gemini"),
    Row("precondition", RetryLater, "ai_key_refused", 1, "auth", "open", only="gemini"),
    Row("payment_required", RetryLater, "ai_quota_exhausted", 1, "quota", "open"),
    Row("quota", RetryLater, "ai_quota_exhausted", 1, "quota", "open"),
    Row("rate_limited", RetryLater, "ai_rate_limited", 1, "rate_limited"),
    Row("request_timeout", Transient, "ai_unavailable", 1, "error"),
    Row("conflict", Transient, "ai_unavailable", 1, "error"),
    Row("server_error", Transient, "ai_unavailable", 3, "error"),
    Row("unavailable", Transient, "ai_unavailable", 3, "error"),
    Row("html", Transient, "ai_unavailable", 3, "error"),
    Row("reset", Transient, "ai_unavailable", 3, "error"),
]
CASES = [pytest.param(p, row, id=f"{p}-{row.says}") for p in PROVIDERS for row in ROWS if row.only in ("", p)]


def test_every_error_has_a_row() -> None:
    errors = {
        kind
        for kind in vars(base).values()
        if isinstance(kind, type) and issubclass(kind, base.ProviderError) and kind is not base.ProviderError
    }
    assert errors == set(TABLE)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_valid_answer_succeeds_with_one_call(bench: Benches, provider: str) -> None:
    made = bench(provider)
    answer = await made.summarize()
    assert answer.provider == provider
    assert "Ana Gómez" in answer.value.summary
    assert answer.usage.input_tokens > 100
    assert made.outcomes == [f"{provider}:success"]
    assert made.rows[0].cost_micro_usd > 0
    assert made.rows[0].input_tokens == answer.usage.input_tokens


@pytest.mark.parametrize(("provider", "row"), CASES)
async def test_what_a_lone_provider_says_decides_the_task(bench: Benches, provider: str, row: Row) -> None:
    made = bench(provider)
    bench.server(provider).always(row.says)
    with pytest.raises(row.ends) as raised:
        await made.summarize()
    assert raised.value.code == row.code
    assert made.outcomes == [f"{provider}:{row.recorded}"] * row.calls
    assert bench.server(provider).total == row.calls  # the SDK added no attempts of its own
    assert made.engine.circuits[provider] == row.circuit
    assert sum(made.clock.slept) <= 5.0


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_no_answer_in_time_is_a_counted_timeout(bench: Benches, provider: str) -> None:
    made = bench(provider, ai_timeout=0.05)
    bench.server(provider).always("hang")
    with pytest.raises(Transient) as raised:
        await made.summarize()
    assert raised.value.code == "ai_timeout"
    assert made.outcomes == [f"{provider}:timeout"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("passing", ["reset", "server_error", "unavailable"])
async def test_what_is_over_in_seconds_is_retried_in_the_run(bench: Benches, provider: str, passing: str) -> None:
    made = bench(provider)
    bench.server(provider).script(passing, passing)
    await made.summarize()
    assert made.outcomes[-1] == f"{provider}:success"
    assert len(made.rows) == 3
    assert len(made.clock.slept) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("broken", ["empty", "invalid_json", "schema_breaking"])
async def test_one_repair_turn_shows_the_error_and_saves_the_run(bench: Benches, provider: str, broken: str) -> None:
    made = bench(provider)
    bench.server(provider).script(broken)
    answer = await made.summarize()
    assert made.outcomes == [f"{provider}:invalid", f"{provider}:success"]
    repair = bench.server(provider).calls[1].prompt
    assert "Your previous answer was refused" in repair
    assert "not_asked_for:" not in repair  # the model's own field names never become instructions
    assert answer.usage.output_tokens == sum(row.output_tokens for row in made.rows)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_cut_answer_is_asked_for_once_more_with_a_larger_limit(bench: Benches, provider: str) -> None:
    made = bench(provider)
    bench.server(provider).script("truncated")
    await made.summarize(max_output_tokens=100)
    bodies = [call.body for call in bench.server(provider).calls]
    limits = [body.get("max_tokens") or body["generationConfig"]["maxOutputTokens"] for body in bodies]
    assert limits == [100, 400]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_endpoint_without_schemas_is_asked_in_plain_json_from_then_on(bench: Benches, provider: str) -> None:
    made = bench(provider)
    bench.server(provider).always("schema_refused")
    await made.summarize()
    await made.summarize()
    assert made.outcomes == [f"{provider}:bad_request", f"{provider}:success", f"{provider}:success"]
    assert "JSON Schema" in bench.server(provider).calls[-1].prompt


async def test_an_endpoint_without_any_json_mode_still_answers(bench: Benches) -> None:
    made = bench("openai")
    bench.openai.always("json_refused")
    await made.summarize()
    assert made.outcomes == ["openai:bad_request", "openai:bad_request", "openai:success"]
    assert "response_format" not in bench.openai.calls[-1].body


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_json_in_one_markdown_block_is_json(bench: Benches, provider: str) -> None:
    made = bench(provider)
    bench.server(provider).script("code_fence")
    await made.summarize()
    assert made.outcomes == [f"{provider}:success"]


HINTS: list[tuple[str, dict[str, Any], float]] = [
    ("openai", {"retry_after": "7"}, 7),
    ("openai", {"retry_after_ms": "2500"}, 2.5),
    ("openai", {"retry_after_ms": "2500", "retry_after": "9"}, 2.5),
    ("openai", {"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
    ("openai", {"retry_after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 900),
    ("openai", {"retry_after": "0"}, 1),
    ("openai", {"retry_after": "86400"}, 900),
    ("openai", {"retry_after": "soon"}, 15),
    ("openai", {"retry_after": "-5"}, 15),
    ("openai", {}, 15),
    ("gemini", {"retry_info": "36s"}, 36),
    ("gemini", {"retry_info": "36.5s"}, 36.5),
    ("gemini", {"retry_info": "0.2s"}, 1),
    ("gemini", {"retry_info": "nonsense", "retry_after": "4"}, 4),
    ("gemini", {"retry_info": "8s", "retry_after": "4"}, 8),
    ("gemini", {}, 15),
]


@pytest.mark.parametrize(("provider", "hint", "seconds"), HINTS)
async def test_a_rate_limit_waits_for_the_servers_hint(
    bench: Benches, provider: str, hint: dict[str, Any], seconds: float
) -> None:
    made = bench(provider)
    bench.server(provider).script(Say("rate_limited", **hint))
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert raised.value.delay_seconds == seconds
    assert made.engine.circuits[provider] == "closed"


async def test_a_daily_quota_with_a_hint_is_a_rate_limit_and_without_one_it_is_out(bench: Benches) -> None:
    made = bench("gemini")
    bench.gemini.script(Say("quota", retry_info="20s"))
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert (raised.value.code, raised.value.delay_seconds) == ("ai_rate_limited", 20)
    assert made.engine.circuits == {"gemini": "closed"}
    bench.gemini.script("quota")
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert (raised.value.code, raised.value.delay_seconds) == ("ai_quota_exhausted", 900)
    assert made.engine.circuits == {"gemini": "open"}


async def test_a_cancelled_call_is_kept_and_does_not_harm_the_circuit(bench: Benches) -> None:
    import asyncio

    made = bench("openai")
    bench.openai.script("hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await made.summarize()
    assert [(row.outcome, row.error_code) for row in made.rows] == [(CallOutcome.ERROR, "cancelled")]
    assert made.engine.circuits["openai"] == "closed"
