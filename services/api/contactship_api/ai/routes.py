"""/ai: usage, feedback, quality. Usage and quality need `ai:run`: whoever may have a model asked may see what that
costs and how well it goes. Feedback needs the rights to its subject."""

from typing import Annotated

from fastapi import Query

from contactship_api.access.requires import AiRun, AnyCaller
from contactship_api.ai import quality, service, usage
from contactship_api.ai.errors import (
    ConversationUnknown,
    CorrectionNotWanted,
    FieldUnknown,
    LeadUnknown,
    MeetingUnknown,
    NothingToJudge,
    ValueNotAllowed,
)
from contactship_api.ai.schemas import FeedbackIn, FeedbackOut, GroupBy, Quality, Subject, Usage
from contactship_api.deps import IdempotentUow, Reading, TheGateway
from contactship_api.http.days import SpanFrom, SpanTo, span
from contactship_api.http.route import api_router, raises
from contactship_common.errors import Forbidden

router = api_router(prefix="/ai", tags=["ai"])


@router.get("/usage", response_model=Usage)
async def get_usage(
    who: AiRun,
    session: Reading,
    gateway: TheGateway,
    given_from: SpanFrom = None,
    given_to: SpanTo = None,
    group_by: Annotated[GroupBy, Query(alias="groupBy", description="One row a day, model or kind of task.")] = "day",
) -> Usage:
    """What model calls used and cost in a span (the last 30 days if none is given, at most 366), and the state of
    today's budget. Days are UTC. Groups without a call are left out."""
    since, until = usage.bounded_span(*span(given_from, given_to))
    return await usage.read(session, since, until, group_by, gateway.runtime.ai.daily_budget_micro_usd)


@router.post("/feedback", status_code=201, response_model=FeedbackOut)
@raises(
    Forbidden, MeetingUnknown, LeadUnknown, ConversationUnknown, NothingToJudge, FieldUnknown, CorrectionNotWanted,
    ValueNotAllowed,
)  # fmt: skip
async def give_feedback(body: FeedbackIn, who: AnyCaller, uow: IdempotentUow) -> FeedbackOut:
    """Say whether a model is right about a meeting, a lead or a conversation, and what would be.

    A correction of a classification's field shows at once and wins over whatever a model says later; the newest
    correction of a field counts. `correct` on a corrected field confirms the correction. Needs `meetings:write`,
    `leads:write` or `conversations:write`, and the right to read the same.
    """
    return FeedbackOut.model_validate(await service.give(uow, who, body))


@router.get("/quality", response_model=Quality)
async def get_quality(
    who: AiRun,
    session: Reading,
    given_from: SpanFrom = None,
    given_to: SpanTo = None,
    subject_type: Annotated[
        Subject | None, Query(alias="subjectType", description="Only verdicts about this kind of subject.")
    ] = None,
) -> Quality:
    """How often people agree with models, per field, model and prompt version, by the verdicts given in a span.
    Of each person's verdicts on the same answer the newest counts."""
    since, until = span(given_from, given_to)
    return await quality.read(session, since, until, subject_type)
