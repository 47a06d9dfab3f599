"""Writing a lead's summary: what is stored, when nothing is paid, and what a failure leaves alone."""

from typing import Any
from uuid import UUID

from handler_testkit import Handlers

from contactship_ai_worker.providers.base import AuthRefused, Refused, ServerFailed
from contactship_common.cache_keys import lead_key
from contactship_common.tasks.catalog import LeadSummary


async def _change(handlers: Handlers, lead_id: UUID, **fields: Any) -> None:
    """A change as the gateway writes it."""
    for name, value in fields.items():
        statement = f"UPDATE leads SET {name} = %s, facts_changed_at = clock_timestamp() WHERE id = %s"
        await handlers.sql(statement, value, lead_id)


async def test_summary_next_action_event_and_audit_row_are_stored_together(handlers: Handlers) -> None:
    lead_id = await handlers.lead()
    before = await handlers.stored(lead_id)
    task = await handlers.do(LeadSummary(lead_id=lead_id))
    lead = await handlers.stored(lead_id)
    assert task["status"] == "succeeded"
    assert task["result"] == {
        "cached": False, "stored": True, "provider": "openai", "model": "model-1", "promptVersion": "1",
    }  # fmt: skip
    assert lead["summary"].startswith("Respuesta 1: Ana Gómez")
    assert lead["next_action"] == "Llamar mañana, paso 1."
    assert lead["summary_generated_at"] is not None
    assert lead["summary_facts_at"] == before["facts_changed_at"] == lead["facts_changed_at"]
    assert lead["version"] == before["version"] + 1
    assert lead["updated_at"] > before["updated_at"]
    [event] = await handlers.sql("SELECT type, actor FROM lead_events WHERE lead_id = %s", lead_id)
    assert event == {"type": "summarized", "actor": "ai"}
    [audit] = await handlers.sql("SELECT actor, action FROM audit_logs WHERE entity_id = %s", str(lead_id))
    assert audit == {"actor": "ai", "action": "lead.summarize"}
    [call] = await handlers.sql("SELECT kind, outcome, input_tokens FROM ai_calls WHERE task_id = %s", task["id"])
    assert call == {"kind": "lead.summary", "outcome": "success", "input_tokens": 10}


async def test_the_cached_lead_is_forgotten(handlers: Handlers) -> None:
    lead_id = await handlers.lead()
    assert handlers.runtime.redis.client
    await handlers.runtime.redis.client.set(lead_key(lead_id), b"old")
    await handlers.do(LeadSummary(lead_id=lead_id))
    assert await handlers.runtime.redis.client.get(lead_key(lead_id)) is None


class TestNothingIsPaidTwice:
    async def test_the_same_question_is_not_asked_again(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        await handlers.do(LeadSummary(lead_id=lead_id))
        before = await handlers.stored(lead_id)
        task = await handlers.do(LeadSummary(lead_id=lead_id))
        assert (task["status"], task["result"]) == ("succeeded", {"cached": True})
        assert await handlers.stored(lead_id) == before
        assert len(handlers.model.asked) == 1

    async def test_facts_that_changed_and_changed_back_are_the_same_question(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        await handlers.do(LeadSummary(lead_id=lead_id))
        await _change(handlers, lead_id, status="lost")
        await _change(handlers, lead_id, status="new")
        task = await handlers.do(LeadSummary(lead_id=lead_id))
        assert task["result"] == {"cached": True}
        lead = await handlers.stored(lead_id)
        assert lead["summary_facts_at"] == lead["facts_changed_at"]  # fresh again

    async def test_other_facts_are_another_question(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        await handlers.do(LeadSummary(lead_id=lead_id))
        await _change(handlers, lead_id, status="qualified")
        assert (await handlers.do(LeadSummary(lead_id=lead_id)))["result"]["stored"]
        assert [facts["status"] for facts in handlers.model.asked] == ["new", "qualified"]

    async def test_another_model_is_another_question(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        await handlers.do(LeadSummary(lead_id=lead_id))
        handlers.model.model = "model-2"
        assert (await handlers.do(LeadSummary(lead_id=lead_id)))["result"]["model"] == "model-2"

    async def test_an_old_answer_is_asked_for_again(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        await handlers.do(LeadSummary(lead_id=lead_id))
        await handlers.sql("UPDATE leads SET summary_generated_at = now() - interval '25 hours'")
        assert (await handlers.do(LeadSummary(lead_id=lead_id)))["result"]["stored"]

    async def test_force_asks_the_same_question_again(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        for force in (False, True):
            await handlers.do(LeadSummary(lead_id=lead_id, force=force))
        assert (await handlers.stored(lead_id))["summary"].startswith("Respuesta 2")


class TestMeanwhile:
    async def test_a_deleted_lead_cancels_the_task_unpaid(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        task_id = await handlers.enqueue(LeadSummary(lead_id=lead_id))
        await handlers.sql("DELETE FROM leads WHERE id = %s", lead_id)
        task = await handlers.run(task_id)
        assert (task["status"], task["error"]["code"], task["slot"]) == ("cancelled", "skipped", None)
        assert handlers.model.asked == []

    async def test_a_lead_deleted_during_the_call_ends_the_task_and_keeps_the_bill(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()

        async def delete() -> None:
            await handlers.sql("DELETE FROM leads WHERE id = %s", lead_id)

        handlers.model.meanwhile = delete
        task = await handlers.do(LeadSummary(lead_id=lead_id))
        assert (task["status"], task["result"]["stored"]) == ("succeeded", False)
        assert await handlers.sql("SELECT 1 FROM lead_events WHERE lead_id = %s", lead_id) == []
        assert len(await handlers.sql("SELECT 1 FROM ai_calls WHERE task_id = %s", task["id"])) == 1

    async def test_a_lead_that_changed_during_the_call_is_stale_afterwards(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        handlers.model.meanwhile = lambda: _change(handlers, lead_id, status="qualified")
        assert (await handlers.do(LeadSummary(lead_id=lead_id)))["result"]["stored"]
        lead = await handlers.stored(lead_id)
        assert lead["summary_facts_at"] < lead["facts_changed_at"]
        assert lead["status"] == "qualified"

    async def test_an_older_run_never_overwrites_a_newer_one(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        # As a failed task that was retried by hand: without its slot it may run beside a newer one.
        retried = await handlers.enqueue(LeadSummary(lead_id=lead_id))
        await handlers.sql("UPDATE tasks SET slot = NULL WHERE id = %s", retried)

        async def newer() -> None:
            await _change(handlers, lead_id, status="qualified")
            await handlers.do(LeadSummary(lead_id=lead_id))

        handlers.model.meanwhile = newer
        task = await handlers.run(retried)
        assert (task["status"], task["result"]["stored"]) == ("succeeded", False)
        lead = await handlers.stored(lead_id)
        assert lead["summary"].startswith("Respuesta 2")
        assert lead["summary_facts_at"] == lead["facts_changed_at"]
        assert len(await handlers.sql("SELECT 1 FROM lead_events WHERE lead_id = %s", lead_id)) == 1


class TestFailures:
    async def test_an_earlier_summary_is_left_as_it_was(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()
        await handlers.do(LeadSummary(lead_id=lead_id))
        before = await handlers.stored(lead_id)

        async def refuse() -> None:
            raise Refused

        handlers.model.meanwhile = refuse
        task = await handlers.do(LeadSummary(lead_id=lead_id, force=True))
        assert (task["status"], task["error"]["code"]) == ("failed", "ai_refused")
        assert await handlers.stored(lead_id) == before

    async def test_each_call_of_a_failed_run_is_kept(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()

        async def fail() -> None:
            handlers.model.meanwhile = fail
            raise ServerFailed("http_500")

        handlers.model.meanwhile = fail
        task_id = await handlers.enqueue(LeadSummary(lead_id=lead_id))
        first = await handlers.run(task_id)
        assert (first["status"], first["failures"], first["error"]["code"]) == ("queued", 1, "ai_unavailable")
        calls = await handlers.sql("SELECT outcome, error_code FROM ai_calls WHERE task_id = %s", task_id)
        assert calls == [{"outcome": "error", "error_code": "http_500"}] * len(calls)
        assert len(calls) == len(handlers.model.asked) >= 2
        second = await handlers.run(task_id)
        assert (second["status"], second["failures"]) == ("failed", 2)
        assert (await handlers.stored(lead_id))["summary"] is None

    async def test_a_refused_key_waits_and_counts_nothing(self, handlers: Handlers) -> None:
        lead_id = await handlers.lead()

        async def refuse() -> None:
            raise AuthRefused("http_401")

        handlers.model.meanwhile = refuse
        task_id = await handlers.enqueue(LeadSummary(lead_id=lead_id))
        for _ in range(4):
            task = await handlers.run(task_id)
            assert (task["status"], task["failures"]) == ("queued", 0)
        assert len(handlers.model.asked) == 1  # then the circuit is open, and nobody is asked
