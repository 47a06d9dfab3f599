"""The lines of meetings that a lead's summary is made from."""

from typing import Any
from uuid import UUID

from handler_testkit import Handlers

from contactship_common.models.base import new_id
from contactship_common.tasks.catalog import LeadSummary


class Meetings:
    """Meetings of one client who is this lead, straight into their tables."""

    def __init__(self, handlers: Handlers, lead_id: UUID) -> None:
        self._sql, self._lead_id = handlers.sql, lead_id
        self._client_id, self._seller_id = new_id(), new_id()

    async def open(self) -> None:
        await self._sql(
            "INSERT INTO clients (id, name, lead_id, search_text, name_sort) VALUES (%s, 'Ana', %s, '', '')",
            self._client_id,
            self._lead_id,
        )
        await self._sql(
            "INSERT INTO sellers (id, name, email, active, search_text, name_sort) VALUES (%s, 'S', %s, true, '', '')",
            self._seller_id,
            f"{self._seller_id}@example.com",
        )

    async def add(self, at: str, transcript: str | None, summary: str | None = None) -> None:
        meeting_id = new_id()
        await self._sql(
            "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, transcript)"
            " VALUES (%s, %s, %s, %s, 'open', %s)",
            meeting_id, self._client_id, self._seller_id, at, transcript,
        )  # fmt: skip
        if summary is not None:
            await self._sql(
                "INSERT INTO meeting_classifications (id, meeting_id, is_current, labels, urgency, language,"
                " lost_client_bad_meeting, sentiment, confidence_score, key_topics, action_items, next_steps, summary,"
                " answer, corrected_fields, provider, model_used, prompt_version, processing_time_ms)"
                " VALUES (%s, %s, true, '{}', false, 'es', false, 'neutral', 0.5, '[]', '[]', '', %s, '{}', '[]',"
                " 'local', 'm', '1', 5)",
                new_id(), meeting_id, summary,
            )  # fmt: skip


async def told(handlers: Handlers, lead_id: UUID) -> Any:
    await handlers.do(LeadSummary(lead_id=lead_id))
    return handlers.model.asked[-1]["lines"]


async def test_a_model_is_told_the_latest_meetings_oldest_first(handlers: Handlers) -> None:
    lead_id = await handlers.lead()
    meetings = Meetings(handlers, lead_id)
    await meetings.open()
    await meetings.add("2026-01-01T00:00:00Z", "Too old to be told")
    await meetings.add("2026-02-01T23:30:00-03:00", "Hola\n\n  " + "x" * 400)
    await meetings.add("2026-02-02T12:00:00Z", "A transcript", "They want a demo.")
    await meetings.add("2026-02-03T12:00:00Z", None)
    for day in (4, 5, 6):
        await meetings.add(f"2026-02-0{day}T12:00:00Z", f"Meeting {day}")
    lines = await told(handlers, lead_id)
    assert [line[:19] for line in lines] == [f"Reunión 2026-02-0{day}:" for day in (2, 2, 4, 5, 6)]
    assert lines[0].startswith("Reunión 2026-02-02: Hola xxx")
    assert len(lines[0]) < 330
    assert lines[1] == "Reunión 2026-02-02: They want a demo."


async def test_a_lead_without_meetings_has_no_lines(handlers: Handlers) -> None:
    lead_id, other = await handlers.lead(), await handlers.lead()
    meetings = Meetings(handlers, other)
    await meetings.open()
    await meetings.add("2026-02-02T12:00:00Z", "Of somebody else")
    assert await told(handlers, lead_id) == []
    assert len(await told(handlers, other)) == 1
