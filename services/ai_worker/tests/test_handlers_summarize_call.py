"""A call's summary is written when it is asked for, from its transcript, and never over something newer."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from handler_testkit import Handlers

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.handlers.summarize_call import CallSummarizer
from contactship_ai_worker.providers.base import ModelRequest, Reply, T, Usage
from contactship_common.models import CallDetail, Interaction
from contactship_common.settings import AISettings
from contactship_common.tasks.catalog import SummarizeCall
from contactship_common.tasks.runner import Runner
from contactship_common.uow import unit_of_work

TRANSCRIPT = "agent: Hola, ¿en qué puedo ayudarlo?\nuser: Quiero saber el precio\nagent: Cien.\nuser: Lo pienso"


class Model:
    """Answers with a number, after whatever happens `meanwhile`."""

    name, model = "openai", "model-1"

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.meanwhile = ""

    async def complete(self, request: ModelRequest[T]) -> Reply[T]:
        self.asked.append(request.facts)
        if self.meanwhile:
            await self.sql(self.meanwhile)
        answer = {"summary": f"Resumen {len(self.asked)}: preguntó el precio."}
        return Reply(request.output_model.model_validate(answer), Usage(10, 5))

    async def aclose(self) -> None:
        """Nothing is open."""

    sql: Any = None


@pytest.fixture
async def model(handlers: Handlers) -> AsyncIterator[Model]:
    model = Model()
    model.sql = handlers.sql
    engine = AIEngine(handlers.runtime.ai, providers=[model])
    handler = CallSummarizer(engine, handlers.runtime.ai)
    handlers.runner = Runner(handlers.runtime, {SummarizeCall.KIND: handler}, owner="worker-1")
    yield model
    await engine.aclose()


async def a_call(handlers: Handlers, **details: Any) -> UUID:
    call = Interaction(channel="CALL", direction="INBOUND", status="COMPLETED", provider="ELEVENLABS")
    async with unit_of_work(handlers.runtime) as uow:
        uow.session.add(call)
        await uow.session.flush()
        if details:
            uow.session.add(CallDetail(interaction_id=call.id, **details))
    return call.id


async def summary_of(handlers: Handlers, call_id: UUID) -> str | None:
    [row] = await handlers.sql("SELECT summary FROM call_details WHERE interaction_id = %s", call_id)
    found: str | None = row["summary"]
    return found


async def test_a_call_with_a_transcript_gets_a_summary(handlers: Handlers, model: Model) -> None:
    call_id = await a_call(handlers, transcript_text=TRANSCRIPT, duration_sec=61)
    task = await handlers.do(SummarizeCall(interaction_id=call_id))
    assert task["status"] == "succeeded"
    assert await summary_of(handlers, call_id) == "Resumen 1: preguntó el precio."
    assert model.asked == [{"direction": "inbound", "minutes": 2, "transcript": TRANSCRIPT}]


async def test_a_call_that_has_a_summary_is_not_asked_about_again_unless_forced(
    handlers: Handlers, model: Model
) -> None:
    call_id = await a_call(handlers, transcript_text=TRANSCRIPT, summary="Del proveedor")
    assert (await handlers.do(SummarizeCall(interaction_id=call_id)))["result"] == {"cached": True}
    assert (model.asked, await summary_of(handlers, call_id)) == ([], "Del proveedor")
    await handlers.do(SummarizeCall(interaction_id=call_id, force=True))
    assert await summary_of(handlers, call_id) == "Resumen 1: preguntó el precio."


@pytest.mark.parametrize("details", [{}, {"duration_sec": 3}, {"transcript_text": " \n "}])
async def test_without_a_transcript_nobody_is_asked(handlers: Handlers, model: Model, details: dict[str, Any]) -> None:
    task = await handlers.do(SummarizeCall(interaction_id=await a_call(handlers, **details)))
    assert (task["status"], model.asked) == ("cancelled", [])


@pytest.mark.parametrize("change", ["summary = 'Del proveedor'", "transcript_text = transcript_text || ' y más'"])
async def test_what_came_meanwhile_is_not_overwritten(handlers: Handlers, model: Model, change: str) -> None:
    call_id = await a_call(handlers, transcript_text=TRANSCRIPT)
    model.meanwhile = f"UPDATE call_details SET {change}"  # from the test
    task = await handlers.do(SummarizeCall(interaction_id=call_id))
    assert (task["status"], task["result"]["stored"]) == ("succeeded", False)
    assert await summary_of(handlers, call_id) != "Resumen 1: preguntó el precio."


@pytest.mark.parametrize("transcript", [TRANSCRIPT, "agent: ¿Hola?", "Solo un texto", "user: " + "bla " * 20_000])
async def test_without_a_model_the_rules_say_what_was_said(handlers: Handlers, transcript: str) -> None:
    call_id = await a_call(handlers, transcript_text=transcript, duration_sec=61)
    settings = AISettings(ai_providers=("local",))
    engine = AIEngine(settings)
    handlers.runner = Runner(handlers.runtime, {SummarizeCall.KIND: CallSummarizer(engine, settings)}, owner="w")
    task = await handlers.do(SummarizeCall(interaction_id=call_id))
    assert task["result"]["provider"] == "local"
    told = await summary_of(handlers, call_id)
    assert told is not None
    assert told.startswith("Llamada entrante de 2 min")
    assert len(told) <= 600
    if transcript == TRANSCRIPT:
        assert "Quiero saber el precio" in told
        assert "Lo pienso" in told
    await engine.aclose()
