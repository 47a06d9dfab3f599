"""The classification of a meeting: what the model is told and what it may answer, built from the categories."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from contactship_ai_worker.fence import Limits
from contactship_ai_worker.lead_summary import PlainText
from contactship_ai_worker.prompts import Prompt, load_prompt
from contactship_ai_worker.providers.base import OutputModel
from contactship_common.classification.categories import FIXED, Category
from contactship_common.settings.ai import Language

PROMPT_NAME = "meeting_classification"
TRANSCRIPT_CHARS = 48_000
# The transcript, escaped, beside the seller's notes.
LIMITS = Limits(text_chars=TRANSCRIPT_CHARS, input_chars=2 * TRANSCRIPT_CHARS)
MAX_OUTPUT_TOKENS = 2_048
_CUT = "\n[…]\n"
_WORD_CUT_OFF, _CUT_OFF_WORD = re.compile(r"\s\S{0,80}$"), re.compile(r"^\S{0,80}\s")

# A full stop behind a short word is mostly an abbreviation ("Sr. Paz", "S.A. Chile", "EE. UU."): better to let a third
# sentence pass than to refuse two.
_SENTENCE_ENDS = re.compile(r"""[\w%)"»”]{4,}[.!?…]+["»”)]*\s+[¿¡"«“(]*[A-ZÁÉÍÓÚÜÑ]""")
MAX_SENTENCES = 2


def _few_sentences(text: str) -> str:
    if len(_SENTENCE_ENDS.findall(text)) >= MAX_SENTENCES:
        raise ValueError("must be one or two sentences")
    return text


Topic = Annotated[PlainText, Field(min_length=2, max_length=80)]
Action = Annotated[PlainText, Field(min_length=3, max_length=160)]


class FixedOutput(OutputModel):
    """What is always answered; the configured categories come on top. Lengths are in characters after trimming.

    The names are those of the API: the model's answer is stored under them.
    """

    asked_categories: ClassVar[tuple[Category, ...]] = ()

    # The texts come first: a model that has written down what happened chooses better.
    summary: Annotated[PlainText, AfterValidator(_few_sentences)] = Field(
        min_length=10, max_length=600, description="One or two sentences: who they are, what they need, how it ended."
    )
    keyTopics: list[Topic] = Field(min_length=2, max_length=5, description="2 to 5 topics of the meeting.")
    actionItems: list[Action] = Field(min_length=1, max_length=3, description="1 to 3 things that we should do now.")
    nextSteps: PlainText = Field(min_length=3, max_length=400, description="What happens next.")
    language: Literal["es", "en"] = Field(description="The language of the transcript.")
    sentiment: Literal["positive", "neutral", "negative"] = Field(description="The client's attitude at the end.")
    urgency: bool = Field(description="It must happen soon.")
    lostClientBadMeeting: bool = Field(description="The client declined, or the meeting went badly.")
    confidenceScore: float = Field(ge=0.1, le=0.95, description="How sure this answer is, 0.1 to 0.95.")


def output_model(categories: Sequence[Category]) -> type[FixedOutput]:
    """What may be answered to these categories: each key must be there, with one of its values or null. Make it once
    a process: providers remember by the class what their endpoint accepts."""
    fields: dict[str, Any] = {
        category.name: (Literal[tuple(category.values)] | None, Field(description=category.about))
        for category in categories
    }
    model = create_model("MeetingClassificationAnswer", __base__=FixedOutput, **fields)
    model.asked_categories = tuple(categories)
    return model


class MeetingFacts(BaseModel):
    """What a meeting is classified by. Texts come from strangers; the engine cleans, cuts and masks them.

    `seller_notes` are our own seller's instructions: hints for reading, never rules.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)

    transcript: str
    seller_notes: str | None = None


def facts_of(transcript: str, seller_notes: str | None) -> MeetingFacts:
    """Of a transcript that is too long the beginning and the end stay: who they are, and how it ended."""
    if len(transcript) > TRANSCRIPT_CHARS:
        half = (TRANSCRIPT_CHARS - len(_CUT)) // 2
        # At a blank, where there is one near: half a phone number would no longer be recognised and masked.
        beginning, end = _WORD_CUT_OFF.sub("", transcript[:half]), _CUT_OFF_WORD.sub("", transcript[-half:])
        transcript = f"{beginning}{_CUT}{end}"
    return MeetingFacts(transcript=transcript, seller_notes=(seller_notes or "").strip() or None)


def prompt_of(categories: Sequence[Category], language: Language) -> Prompt:
    """The prompt with these categories written out."""
    return load_prompt(PROMPT_NAME, language, categories="\n".join(map(_in_words, categories)))


def _in_words(category: Category) -> str:
    values = "\n".join(f"  - `{value}`{f': {hint}' if hint else ''}" for value, hint in category.values.items())
    return f"- `{category.name}`: {category.about}\n{values}"


def split(answer: FixedOutput, categories: Sequence[Category]) -> tuple[dict[str, str | None], dict[str, Any]]:
    """The categories' labels; and what people can correct, as the model gave it, by its names in the API."""
    labels = {category.name: getattr(answer, category.name) for category in categories}
    return labels, labels | {name: getattr(answer, name) for name in FIXED}
