"""One meeting and its classification handler on a local vendor server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from handler_testkit import Handlers
from vendors.ai_bench import Benches
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer
from vendors.server import Say, VendorServer

from contactship_ai_worker.engine import AIEngine
from contactship_ai_worker.handlers.classify_meeting import Classify
from contactship_common.classification.categories import Category, load_categories
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


def said(**changes: Any) -> str:
    """The good answer with these changes; `...` takes a key away."""
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...})


def says(*, times: int | None = None, **changes: Any) -> Say:
    """The vendor answers so, always or as often as told."""
    return Say("text", text=said(**changes), times=times)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


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


@asynccontextmanager
async def open_desk(
    vendor_name: str,
    handlers: Handlers,
    openai: OpenAIServer,
    gemini: GeminiServer,
    *,
    categories: tuple[Category, ...] | None = None,
    notes: str | None = None,
    transcript: str = TRANSCRIPT,
) -> AsyncIterator[Desk]:
    """The real engine and adapter on this vendor; `notes` are the seller's."""
    settings = Benches(openai, gemini).settings(vendor_name, ai_max_retries=2)
    engine = AIEngine(settings)
    handlers.handlers[ClassifyMeeting.KIND] = Classify(engine, settings, categories or load_categories())
    vendor = openai if vendor_name == "openai" else gemini
    yield Desk(handlers, vendor, await new_meeting(handlers, transcript, notes))
    vendor.latency = 0.0
    await engine.aclose()
