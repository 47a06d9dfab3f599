"""The analysis of a conversation: what the model is told and what it may answer."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from contactship_ai_worker.lead_summary import PlainText
from contactship_ai_worker.providers.base import OutputModel
from contactship_common.models import ContentType, Priority

PROMPT_NAME = "conversation_analysis"
MESSAGES_AT_MOST = 30
SUMMARY_MAX_CHARS = 200
TAG_MAX_CHARS = 30


class Line(BaseModel):
    """One message. `sender` is `lead`, `agent` or `system`; `text` names media as `[image]`."""

    model_config = ConfigDict(frozen=True)

    sender: str
    text: str


class ConversationFacts(BaseModel):
    """The latest messages, oldest first. Texts come from strangers; the engine cleans, cuts and masks them."""

    model_config = ConfigDict(frozen=True)

    channel: str
    lead_name: str
    messages: list[Line]


def _upper(value: Any) -> Any:
    """Models answer `high`, `High` or `HIGH`."""
    return value.strip().upper() if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _no_repeats(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Tag = Annotated[PlainText, BeforeValidator(_lower), Field(min_length=1, max_length=TAG_MAX_CHARS)]


class ConversationAnalysisOutput(OutputModel):
    """The answer; lengths are in characters after trimming."""

    summary: PlainText = Field(
        min_length=1, max_length=SUMMARY_MAX_CHARS, description="What the lead wants and where it stands."
    )
    priority: Annotated[Literal[Priority.HIGH, Priority.MEDIUM, Priority.LOW], BeforeValidator(_upper)] = Field(
        description="high: urgent, angry or ready to buy; medium: needs an answer; low: can wait."
    )
    tags: Annotated[list[Tag], AfterValidator(_no_repeats)] = Field(
        min_length=1, max_length=5, description="1 to 5 short lower-case topics."
    )


def told(content_type: str, content_text: str | None) -> str:
    """A message as the model reads it: media are named, never fetched."""
    text = content_text or ""
    if content_type == ContentType.TEXT:
        return text
    return f"[{content_type.lower()}] {text}".strip()
