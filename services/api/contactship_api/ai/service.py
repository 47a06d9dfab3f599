"""Feedback: what people say about a model's answers, and what follows from it at once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.access.visibility import sees_conversation
from contactship_api.ai.errors import (
    ConversationUnknown,
    CorrectionNotWanted,
    FieldUnknown,
    LeadUnknown,
    MeetingUnknown,
    NothingToJudge,
    ValueNotAllowed,
)
from contactship_api.ai.schemas import FeedbackIn, Subject, Verdict
from contactship_common.classification.categories import allowed_values, load_categories
from contactship_common.classification.corrections import is_allowed, lock_meeting, overlay, shown_value
from contactship_common.errors import Forbidden
from contactship_common.models import AIFeedback, Conversation, Lead, LeadEvent, MeetingClassification, Task
from contactship_common.tasks.catalog import AnalyzeConversation
from contactship_common.uow import UnitOfWork

_LEAD_FIELDS = ("summary", "nextAction")
_CONVERSATION_FIELDS = ("summary", "priority", "tags")


@dataclass(frozen=True, slots=True)
class _Judged:
    """The answer that a verdict is about."""

    value: Any = None
    provider: str | None = None
    model: str | None = None
    prompt: str | None = None
    prompt_version: str | None = None


_Judge = Callable[[UnitOfWork, Principal, FeedbackIn], Awaitable[_Judged]]


async def give(uow: UnitOfWork, who: Principal, body: FeedbackIn) -> AIFeedback:
    """Keep a verdict; a correction of a classification shows at once, in the same transaction.

    Raises:
        Forbidden: the caller may not read and write this kind of subject.
        MeetingUnknown, LeadUnknown, ConversationUnknown, NothingToJudge
        FieldUnknown, CorrectionNotWanted, ValueNotAllowed
    """
    scopes, judge = _SUBJECTS[body.subject_type]
    for scope in scopes:
        if not who.may(scope):
            raise Forbidden(f"This needs the right {scope.value}")
    if body.corrects and (body.verdict is Verdict.CORRECT or body.field is None):
        raise CorrectionNotWanted
    judged = await judge(uow, who, body)
    row = AIFeedback(
        subject_type=body.subject_type,
        subject_id=body.subject_id,
        field=body.field,
        verdict=body.verdict,
        corrected_value=body.corrected_value if body.corrects else sa.null(),
        has_correction=body.corrects,
        model_value=judged.value,
        provider=judged.provider,
        model=judged.model,
        prompt=judged.prompt,
        prompt_version=judged.prompt_version,
        actor=who.actor,
        # The moment under the subject's lock, by the one clock that all gateways share: it says which is the newest.
        created_at=sa.func.clock_timestamp(),  # type: ignore[arg-type]
    )
    uow.session.add(row)
    await uow.session.flush()
    await uow.session.refresh(row)
    correction: dict[str, Any] = {"correctedValue": body.corrected_value} if body.corrects else {}
    uow.audit(
        "ai.feedback", body.subject_type, body.subject_id, field=body.field, verdict=body.verdict.value, **correction
    )
    return row


async def _judge_meeting(uow: UnitOfWork, who: Principal, body: FeedbackIn) -> _Judged:
    categories = load_categories(uow.runtime.settings.classification_file)
    if body.field is not None and allowed_values(categories, body.field) is None:
        raise FieldUnknown
    if body.corrects and not is_allowed(categories, str(body.field), body.corrected_value):
        raise ValueNotAllowed
    # Before anything is read: a classification that is recorded at this moment must see the correction, or be seen.
    if not await lock_meeting(uow.session, body.subject_id):
        raise MeetingUnknown
    statement = sa.select(MeetingClassification).where(
        col(MeetingClassification.meeting_id) == body.subject_id, col(MeetingClassification.is_current)
    )
    row = (await uow.session.execute(statement.with_for_update())).scalar_one_or_none()
    if row is None:
        raise NothingToJudge
    judged = _judged_of(row, body)
    if body.corrects:
        overlay(row, {str(body.field): body.corrected_value}, categories)
    return judged


def _judged_of(row: MeetingClassification, body: FeedbackIn) -> _Judged:
    judged = _Judged(None, row.provider, row.model_used, "meeting_classification", row.prompt_version)
    if body.field is None:
        return judged
    if body.field not in row.answer:  # a category that was configured later: no model was asked about it
        return _Judged()
    said = row.answer[body.field]
    if not body.corrects and shown_value(row, body.field) != said:
        # The value that a person gave is confirmed, or doubted: that says nothing about the model.
        return _Judged(said)
    return replace(judged, value=said)


async def _judge_lead(uow: UnitOfWork, who: Principal, body: FeedbackIn) -> _Judged:
    if body.field is not None and body.field not in _LEAD_FIELDS:
        raise FieldUnknown
    if body.corrects:
        raise CorrectionNotWanted
    lead = await uow.session.get(Lead, body.subject_id)
    if lead is None:
        raise LeadUnknown
    if lead.summary is None:
        raise NothingToJudge
    told: Any = (
        sa.select(col(LeadEvent.data))
        .where(col(LeadEvent.lead_id) == lead.id, col(LeadEvent.type) == "summarized")
        .order_by(col(LeadEvent.id).desc())
        .limit(1)
    )
    names: dict[str, Any] = (await uow.session.execute(told)).scalar_one_or_none() or {}
    # Which summary it was, and not its words: feedback outlives the lead, its personal data must not.
    which = {"generatedAt": lead.summary_generated_at.isoformat() if lead.summary_generated_at else None}
    return _Judged(which, names.get("provider"), names.get("model"), "lead_summary", names.get("promptVersion"))


async def _judge_conversation(uow: UnitOfWork, who: Principal, body: FeedbackIn) -> _Judged:
    if body.field is not None and body.field not in _CONVERSATION_FIELDS:
        raise FieldUnknown
    if body.corrects:
        raise CorrectionNotWanted
    statement = sa.select(Conversation).where(col(Conversation.id) == body.subject_id, sees_conversation(who))
    conversation = (await uow.session.execute(statement)).scalar_one_or_none()
    if conversation is None:
        raise ConversationUnknown
    if conversation.ai_updated_at is None:
        raise NothingToJudge
    # The task says which model it was, for as long as it is kept.
    told: Any = (
        sa.select(col(Task.result))
        .where(
            col(Task.subject_id) == conversation.id,
            col(Task.kind) == AnalyzeConversation.KIND,
            col(Task.result)["stored"].as_boolean(),
        )
        .order_by(col(Task.finished_at).desc())
        .limit(1)
    )
    names: dict[str, Any] = (await uow.session.execute(told)).scalar_one_or_none() or {}
    # As with leads: which answer it was, and of the words only what names nobody.
    said = (
        conversation.ai_priority if body.field == "priority" else {"updatedAt": conversation.ai_updated_at.isoformat()}
    )
    return _Judged(said, names.get("provider"), names.get("model"), "conversation_analysis", names.get("promptVersion"))


# A further kind of subject is a line here, a value of `Subject`, and a function that finds what was judged.
_SUBJECTS: dict[Subject, tuple[tuple[Scope, ...], _Judge]] = {
    Subject.MEETING: ((Scope.MEETINGS_READ, Scope.MEETINGS_WRITE), _judge_meeting),
    Subject.LEAD: ((Scope.LEADS_READ, Scope.LEADS_WRITE), _judge_lead),
    Subject.CONVERSATION: ((Scope.CONVERSATIONS_READ, Scope.CONVERSATIONS_WRITE), _judge_conversation),
}
