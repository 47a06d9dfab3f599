"""From one provider to the next, circuits, and waiting when nobody is left."""

import asyncio

import pytest
from structlog.testing import capture_logs
from vendors.ai_bench import Benches
from vendors.server import Say

from contactship_ai_worker.lead_summary import LeadFacts
from contactship_common.tasks.outcomes import Permanent, RetryLater, Transient

GOES_ON = [
    ("unauthorized", 1), ("forbidden", 1), ("quota", 1), ("payment_required", 1), ("unknown_model", 1),
    ("request_timeout", 1), ("conflict", 1), ("server_error", 3), ("reset", 3), ("truncated", 2), ("empty", 2),
    ("schema_breaking", 2),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), [("openai", "gemini"), ("gemini", "openai")])
@pytest.mark.parametrize(("says", "calls"), GOES_ON)
async def test_the_next_provider_answers_in_the_same_run(
    bench: Benches, first: str, second: str, says: str, calls: int
) -> None:
    made = bench(f"{first},{second}")
    bench.server(first).always(says)
    answer = await made.summarize()
    assert answer.provider == second
    assert len(made.rows) == calls + 1


@pytest.mark.parametrize("says", ["refusal", "content_filter", "bad_request", "unprocessable", "context_too_long"])
async def test_a_refused_question_is_not_carried_to_the_next_provider(bench: Benches, says: str) -> None:
    made = bench("openai,gemini")
    bench.openai.always(says)
    with pytest.raises(Permanent):
        await made.summarize()
    assert bench.gemini.total == 0


@pytest.mark.parametrize(("hint", "next_is_asked"), [("60", False), ("61", True), ("", False)])
async def test_a_rate_limit_moves_on_only_when_its_hint_is_long(bench: Benches, hint: str, next_is_asked: bool) -> None:
    made = bench("openai,gemini")
    bench.openai.always("rate_limited", retry_after=hint)
    if next_is_asked:
        assert (await made.summarize()).provider == "gemini"
    else:
        with pytest.raises(RetryLater):
            await made.summarize()
        assert bench.gemini.total == 0


async def test_of_two_rate_limits_the_shorter_one_is_waited_for(bench: Benches) -> None:
    made = bench("openai,gemini")
    bench.openai.always("rate_limited", retry_after="300")
    bench.gemini.always("rate_limited", retry_info="90s")
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert raised.value.delay_seconds == 90


async def test_invalid_answers_are_asked_for_once_more_elsewhere_and_then_the_task_fails(bench: Benches) -> None:
    made = bench("openai,gemini,local")
    bench.openai.always("schema_breaking")
    bench.gemini.always("schema_breaking")
    with pytest.raises(Permanent):
        await made.summarize()
    assert made.outcomes == ["openai:invalid", "openai:invalid", "gemini:invalid"]


async def test_paid_and_worthless_answers_count_even_when_the_next_provider_asks_to_wait(bench: Benches) -> None:
    made = bench("openai,gemini")
    bench.openai.always("empty")
    bench.gemini.always("rate_limited", retry_info="30s")
    with pytest.raises(Permanent) as raised:
        await made.summarize()
    assert raised.value.code == "ai_invalid_answer"


async def test_five_failures_in_a_row_open_the_circuit_for_thirty_seconds(bench: Benches) -> None:
    made = bench("openai")
    bench.openai.always("conflict")
    for _ in range(5):
        with pytest.raises(Transient):
            await made.summarize()
    assert made.engine.usable == []
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert raised.value.delay_seconds == pytest.approx(30)
    assert bench.openai.total == 5

    bench.openai.reset()
    made.clock.now += 30
    assert made.engine.circuits == {"openai": "half_open"}
    await made.summarize()
    assert made.engine.circuits == {"openai": "closed"}


async def test_a_success_in_between_starts_the_count_anew(bench: Benches) -> None:
    made = bench("openai")
    for _ in range(2):
        bench.openai.script(*["conflict"] * 4)
        for _ in range(4):
            with pytest.raises(Transient):
                await made.summarize()
        await made.summarize()
    assert made.engine.circuits == {"openai": "closed"}


async def test_a_half_open_circuit_lets_one_call_through_at_a_time(bench: Benches) -> None:
    made = bench("openai")
    bench.openai.script("unauthorized")
    with pytest.raises(RetryLater):
        await made.summarize()
    made.clock.now += 300
    bench.openai.always("ok", latency=0.1)
    results = await asyncio.gather(*(made.summarize() for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, RetryLater) for result in results) == 9
    assert bench.openai.total == 2


async def test_a_refused_key_is_told_aloud_once_and_the_provider_stays_out(bench: Benches) -> None:
    made = bench("openai,gemini")
    bench.openai.always("unauthorized")
    with capture_logs() as logs:
        for _ in range(3):
            assert (await made.summarize()).provider == "gemini"
            made.clock.now += 301
    assert bench.openai.total == 3
    assert [entry["event"] for entry in logs].count("ai_provider.out") == 1


async def test_an_empty_account_is_out_for_fifteen_minutes(bench: Benches) -> None:
    made = bench("openai")
    bench.openai.script("quota")
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert raised.value.delay_seconds == pytest.approx(900)
    made.clock.now += 899
    with pytest.raises(RetryLater):
        await made.summarize()
    made.clock.now += 1
    await made.summarize()


async def test_with_every_provider_out_the_task_waits_for_the_first_to_return(bench: Benches) -> None:
    made = bench("openai,gemini")
    bench.openai.script("quota")
    bench.gemini.script("unauthorized")
    for _ in range(2):
        with pytest.raises(RetryLater) as raised:
            await made.summarize()
        assert raised.value.delay_seconds == pytest.approx(300)
    assert len(made.rows) == 2


async def test_the_circuit_may_open_between_two_quick_retries(bench: Benches) -> None:
    made = bench("openai")
    bench.openai.always("server_error")
    for _ in range(2):
        with pytest.raises(Transient):
            await made.summarize()
    assert bench.openai.total == 5


async def test_no_more_than_ai_concurrency_calls_are_in_flight(bench: Benches) -> None:
    made = bench("openai", ai_concurrency=3)
    bench.openai.always("ok", latency=0.02)
    await asyncio.gather(*(made.summarize() for _ in range(12)))
    assert bench.openai.counts()["peak"] == 3


async def test_over_our_own_rate_the_task_waits_uncounted(bench: Benches) -> None:
    made = bench("openai,gemini", ai_requests_per_minute=2)
    await made.summarize()
    await made.summarize()
    with pytest.raises(RetryLater) as raised:
        await made.summarize()
    assert raised.value.code == "ai_rate_limited"
    assert 1 <= raised.value.delay_seconds <= 66
    assert (bench.openai.total, bench.gemini.total) == (2, 0)


async def test_scripted_answers_can_be_meant_for_one_lead(bench: Benches) -> None:
    made = bench("openai")
    bench.openai.script(Say("refusal", match="Beatriz"))
    await made.summarize()
    with pytest.raises(Permanent):
        await made.summarize(LeadFacts(full_name="Beatriz lead-7", status="new", source="web"))
    assert bench.openai.calls_about("lead-7") == 1
