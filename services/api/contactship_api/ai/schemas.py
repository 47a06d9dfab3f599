"""Shapes of /ai."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from contactship_api.http.schemas import In, Line, Out, UtcTime

MICRO_USD = 1_000_000


class Subject(StrEnum):
    """What people can judge a model's answer about."""

    MEETING = "meeting"
    LEAD = "lead"
    CONVERSATION = "conversation"


class Verdict(StrEnum):
    CORRECT = "correct"
    WRONG = "wrong"


_LONGEST_VALUE = 60


def _label(value: Any) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) <= _LONGEST_VALUE):
        return value
    raise PydanticCustomError("label_type", "Should be one of the field's values: text, true, false or null")


# Not a union: its errors would name its branches instead of the field.
CorrectedValue = Annotated[
    Any,
    AfterValidator(_label),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": _LONGEST_VALUE}, {"type": "boolean"}, {"type": "null"}]}),
]


class FeedbackIn(In):
    """`field`: what is judged: `businessSector` of a meeting, `nextAction` of a lead, `priority` of a conversation;
    without one, the whole answer.

    `correctedValue` goes with `wrong` on a field of a meeting's classification; `null` means "none of the values".
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subjectType": "meeting",
                    "subjectId": "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f",
                    "field": "businessSector",
                    "verdict": "wrong",
                    "correctedValue": "retail",
                },
                {
                    "subjectType": "lead",
                    "subjectId": "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f",
                    "field": "nextAction",
                    "verdict": "correct",
                },
            ]
        }
    )

    subject_type: Subject
    subject_id: UUID
    field: Annotated[Line, Field(min_length=1, max_length=64)] | None = None
    verdict: Verdict
    corrected_value: CorrectedValue = None

    @property
    def corrects(self) -> bool:
        """Whether a value was given; null is one."""
        return "corrected_value" in self.model_fields_set


class FeedbackOut(Out):
    """The verdict as it is kept. `modelValue` is what the model said in the judged field of a meeting; the model's
    names are null when what was judged is a person's correction, or nobody knows which model it was."""

    id: UUID
    subject_type: Subject
    subject_id: UUID
    field: str | None
    verdict: Verdict
    corrected_value: Any
    model_value: Any
    provider: str | None
    model: str | None
    prompt_version: str | None
    created_at: UtcTime


GroupBy = Literal["day", "model", "kind"]


class Sums(Out):
    """`averageLatencyMs` is over all calls, null without any; `outcomes` counts calls by how they ended."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_micro_usd: int
    cost_usd: str = Field(examples=["0.001234"])
    average_latency_ms: float | None
    outcomes: dict[str, int] = Field(examples=[{"success": 41, "rate_limited": 1}])


class UsageRow(Sums):
    """One group; what it is not grouped by is null."""

    day: date | None
    provider: str | None
    model: str | None
    kind: str | None


class BudgetState(Out):
    """`dailyUsd` is this process's AI_DAILY_BUDGET_USD, null without one; `spentTodayUsd` is of calls that ended today
    (UTC) and are stored."""

    daily_usd: str | None
    spent_today_usd: str
    reached: bool


class Usage(Out):
    since: UtcTime = Field(alias="from")
    until: UtcTime = Field(alias="to")
    data: list[UsageRow]
    totals: Sums
    budget: BudgetState


class QualityRow(Out):
    """One field of one model and prompt version. `verdicts` = `correct` + `wrong`: the newest of each person on each
    answer. `correct`: the model's own value is right; `agreement` = correct ÷ verdicts, 0..1; `corrections`: how many
    of the verdicts gave a value."""

    subject_type: Subject
    field: str | None
    provider: str | None
    model: str
    prompt: str | None
    prompt_version: str | None
    verdicts: int
    correct: int
    wrong: int
    agreement: float
    corrections: int


class Quality(Out):
    data: list[QualityRow]


def usd(micro_usd: int) -> str:
    """Micro-USD in dollars, exactly."""
    return f"{Decimal(micro_usd) / MICRO_USD:.6f}"


def share(part: int, whole: int) -> float:
    """0..1 with 4 places, half up."""
    return float((Decimal(part) / Decimal(whole)).quantize(Decimal("0.0001"), ROUND_HALF_UP))
