"""The summary of a call: what the model is told and what it may answer."""

from pydantic import BaseModel, ConfigDict, Field

from contactship_ai_worker.fence import Limits
from contactship_ai_worker.lead_summary import PlainText
from contactship_ai_worker.meeting_classification import LIMITS as MEETING_LIMITS
from contactship_ai_worker.meeting_classification import facts_of as meeting_facts_of
from contactship_ai_worker.providers.base import OutputModel

PROMPT_NAME = "call_summary"
SUMMARY_MIN_CHARS, SUMMARY_MAX_CHARS = 20, 600
LIMITS: Limits = MEETING_LIMITS


class CallFacts(BaseModel):
    """What a call is summarised from. Texts come from strangers; the engine cleans, cuts and masks them.

    `transcript` has a line each for `agent: …` and `user: …`; `minutes` are whole, rounded up.
    """

    model_config = ConfigDict(frozen=True)

    direction: str
    minutes: int | None
    transcript: str


class CallSummaryOutput(OutputModel):
    """The answer; lengths are in characters after trimming."""

    summary: PlainText = Field(
        min_length=SUMMARY_MIN_CHARS,
        max_length=SUMMARY_MAX_CHARS,
        description="What the caller wanted, what was answered, and how the call ended.",
    )


def facts_of(direction: str, duration_sec: int | None, transcript: str) -> CallFacts:
    """Of a transcript that is too long the beginning and the end stay."""
    minutes = None if duration_sec is None else -(-duration_sec // 60)
    shortened = meeting_facts_of(transcript, None).transcript
    return CallFacts(direction=direction.lower(), minutes=minutes, transcript=shortened)
