"""Meetings, classifications and model calls for the tests of AI operations, straight in the tables."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from api_testkit import Api

from contactship_common.classification.categories import FIXED, load_categories
from contactship_common.models import AICall, Client, Meeting, MeetingClassification, Seller
from contactship_common.models.base import new_id
from contactship_common.uow import unit_of_work

FEEDBACK = "/api/v1/ai/feedback"
_SAID: dict[str, Any] = {"urgency": False, "language": "es", "lostClientBadMeeting": False, "sentiment": "neutral"}


def classification(meeting_id: UUID, *, model: str = "gpt-4o-mini", version: str = "1", **said: Any) -> Any:
    """A row as the worker writes it when the model said this; every other category is null."""
    answer = {category.name: None for category in load_categories()} | _SAID | said
    labels = {name: value for name, value in answer.items() if name not in FIXED}
    return MeetingClassification(
        meeting_id=meeting_id, labels=labels, answer=answer, urgency=answer["urgency"], language=answer["language"],
        lost_client_bad_meeting=answer["lostClientBadMeeting"], sentiment=answer["sentiment"],
        confidence_score=Decimal("0.80"), key_topics=["a", "b"], action_items=["c"], next_steps="d", summary="e",
        provider="openai", model_used=model, prompt_version=version,
    )  # fmt: skip


async def make_meeting(api: Api, **said: Any) -> str:
    """A meeting that a model said this about; `classified=False`: nothing."""
    client = Client(name="Eva", email=f"{new_id()}@example.com")
    seller = Seller(name="Tom", email=f"{new_id()}@example.com")
    classified = said.pop("classified", True)
    async with unit_of_work(api.gateway.runtime) as uow:
        uow.session.add_all([client, seller])
        await uow.session.flush()
        meeting = Meeting(client_id=client.id, seller_id=seller.id, meeting_at="2026-03-01T10:00:00Z", transcript="Hi")
        uow.session.add(meeting)
        await uow.session.flush()
        if classified:
            uow.session.add(classification(meeting.id, **said))
    return str(meeting.id)


async def make_call(api: Api, sql: Any, **changes: Any) -> None:
    """A row of `ai_calls`; `at` is its time, now if left out."""
    at = changes.pop("at", None)
    call = AICall(
        **{
            "kind": "lead.summary", "provider": "openai", "model": "gpt-4o-mini", "prompt": "p", "prompt_version": "1",
            "outcome": "success", "input_tokens": 100, "output_tokens": 10, "cost_micro_usd": 21, "latency_ms": 300,
        } | changes
    )  # fmt: skip
    async with unit_of_work(api.gateway.runtime) as uow:
        uow.session.add(call)
    if at is not None:
        await sql("UPDATE ai_calls SET created_at = %s WHERE id = %s", at, call.id)


def about(subject_id: str, field: str | None = None, verdict: str = "wrong", **more: Any) -> dict[str, Any]:
    """A body of feedback on a meeting; `correctedValue=` corrects."""
    body = {"subjectType": "meeting", "subjectId": subject_id, "verdict": verdict, **more}
    return body if field is None else body | {"field": field}
