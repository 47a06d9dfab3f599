"""Classifying a meeting: what is stored, when nothing is paid, and what a failure leaves alone."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from handler_testkit import Handlers
from vendors.ai_bench import Benches
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer
from vendors.server import Say, VendorServer

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.handlers.classify_meeting import Classify
from contactship_common.classification.categories import load_categories
from contactship_common.models import AIFeedback, Client, Lead, Meeting, Person, Seller
from contactship_common.models.base import new_id
from contactship_common.tasks.catalog import ClassifyMeeting
from contactship_common.uow import unit_of_work

TRANSCRIPT = "Vendedor: Buenos días. Cliente: Somos una cadena de tiendas y perdemos clientes cada mes."
GOOD: dict[str, Any] = {
    "summary": "Una cadena de tiendas pierde clientes. Pidió una propuesta.",
    "keyTopics": ["fuga de clientes", "propuesta"],
    "actionItems": ["Enviar la propuesta"],
    "nextSteps": "Llamar el lunes.",
    "language": "es",
    "sentiment": "positive",
    "urgency": False,
    "lostClientBadMeeting": False,
    "confidenceScore": 0.8,
    **dict.fromkeys((c.name for c in load_categories()), None),
    "businessSector": "retail",
    "primaryPainPoint": "high_churn",
}


def says(**changes: Any) -> Say:
    """The good answer with these changes; `...` takes a key away."""
    answer = {name: value for name, value in (GOOD | changes).items() if value is not ...}
    return Say("text", text=json.dumps(answer), times=None)


@dataclass
class Desk:
    """One meeting, the handler on one vendor, and what came of it."""

    handlers: Handlers
    vendor: VendorServer
    meeting_id: UUID

    async def classify(self, *, force: bool = False) -> dict[str, Any]:
        return await self.handlers.do(ClassifyMeeting(meeting_id=self.meeting_id, force=force))

    async def rows(self) -> list[dict[str, Any]]:
        """The meeting's classifications, oldest first."""
        return await self.handlers.sql("SELECT * FROM meeting_classifications ORDER BY id")

    async def current(self) -> dict[str, Any]:
        [row] = [row for row in await self.rows() if row["is_current"]]
        return row

    async def change_transcript(self, text: str) -> None:
        await self.handlers.sql(
            "UPDATE meetings SET transcript = %s, transcript_changed_at = clock_timestamp() WHERE id = %s",
            text, self.meeting_id,
        )  # fmt: skip

    async def correct(self, field: str, value: Any) -> None:
        async with unit_of_work(self.handlers.runtime) as uow:
            uow.session.add(
                AIFeedback(
                    subject_type="meeting", subject_id=self.meeting_id, field=field, verdict="wrong",
                    corrected_value=value, has_correction=True, actor="user:1",
                )
            )  # fmt: skip


async def new_meeting(handlers: Handlers, transcript: str | None = TRANSCRIPT, notes: str | None = None) -> UUID:
    person, lead_id = Person(first_name="Ana", last_name="Gómez"), new_id()
    seller = Seller(name="Boa", email=f"{new_id()}@example.com", prompt=notes)
    client = Client(name="Ana Gómez", email=f"{new_id()}@example.com")
    async with unit_of_work(handlers.runtime) as uow:
        uow.session.add_all([person, seller])
        await uow.session.flush()
        uow.session.add(Lead(id=lead_id, person_id=person.id, email=f"{lead_id}@example.com"))
        await uow.session.flush()
        client.lead_id = lead_id
        uow.session.add(client)
        await uow.session.flush()
        meeting = Meeting(client_id=client.id, seller_id=seller.id, transcript=transcript)
    meeting_id = new_id()
    await handlers.sql(
        "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, transcript, transcript_changed_at) "
        "VALUES (%s, %s, %s, now(), 'open', %s, now())",
        meeting_id, meeting.client_id, meeting.seller_id, transcript,
    )  # fmt: skip
    return meeting_id


@pytest.fixture(params=["openai", "gemini"])
async def desk(
    request: pytest.FixtureRequest, handlers: Handlers, openai_vendor: OpenAIServer, gemini_vendor: GeminiServer
) -> AsyncIterator[Desk]:
    settings = Benches(openai_vendor, gemini_vendor).settings(request.param, ai_max_retries=2)
    engine = AIEngine(settings)
    handlers.handlers[ClassifyMeeting.KIND] = Classify(engine, settings, load_categories())
    vendor = openai_vendor if request.param == "openai" else gemini_vendor
    yield Desk(handlers, vendor, await new_meeting(handlers))
    await engine.aclose()


async def test_the_whole_answer_is_stored(desk: Desk) -> None:
    desk.vendor.script(says())
    task = await desk.classify()
    assert (task["status"], task["result"]["stored"]) == ("succeeded", True), task["error"]
    row = await desk.current()
    assert row["labels"] == {c.name: GOOD[c.name] for c in load_categories()}
    assert row["answer"] == {
        name: GOOD[name] for name in (*row["labels"], "urgency", "language", "sentiment", "lostClientBadMeeting")
    }
    assert (row["sentiment"], row["language"], row["urgency"]) == ("positive", "es", False)
    assert float(row["confidence_score"]) == 0.8
    assert (row["key_topics"], row["action_items"]) == (GOOD["keyTopics"], GOOD["actionItems"])
    assert row["provider"] == desk.vendor.vendor
    assert row["prompt_version"].startswith("1-")
    assert row["processing_time_ms"] >= 1
    [audit] = await desk.handlers.sql("SELECT actor, action FROM audit_logs WHERE entity_id = %s", str(desk.meeting_id))
    assert audit == {"actor": "ai", "action": "meeting.classify"}


async def test_an_answer_made_from_the_schema_alone_is_accepted(desk: Desk) -> None:
    """The vendor knows nothing but the schema that was sent: if that loses a limit, its answer breaks ours."""
    task = await desk.classify()
    assert task["status"] == "succeeded", task["error"]
    assert desk.vendor.total == 1
    assert (await desk.current())["labels"]["businessSector"] == "retail"
