"""What a language-model provider is to us, and every way in which it can fail.

An adapter turns one vendor's protocol into: these instructions, this input, this output model → validated output and
usage. It makes exactly one HTTP call a `complete` and never retries: what follows from a failure stands in
`outcomes.TABLE`.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

_REPAIR_ANSWER_CHARS = 4_000
_PROBLEMS_SHOWN = 12

T = TypeVar("T", bound=BaseModel)


class OutputModel(BaseModel):
    """Base of what a model may answer: nothing but the fields asked for, exact types, no surrounding blanks."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the vendor counted them; zero when it did not say."""

    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)


@dataclass(frozen=True, slots=True)
class Repair:
    """A refused answer and what was wrong with it, shown to the model in its one repair turn."""

    answer: str
    problem: str


@dataclass(frozen=True, slots=True)
class ModelRequest(Generic[T]):
    """One call. `instructions` are ours alone; `input` holds the fenced data; `facts` are the same data before
    rendering, already cleaned, capped and masked, which only the local rules read."""

    prompt: str
    instructions: str
    input: str
    facts: dict[str, Any]
    output_model: type[T]
    max_output_tokens: int
    repair: Repair | None = None


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A validated answer and what it used."""

    value: T
    usage: Usage


class Provider(Protocol):
    """One vendor. `complete` raises a `ProviderError` and nothing else, apart from being cancelled."""

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    async def complete(self, request: ModelRequest[T]) -> Reply[T]: ...

    async def aclose(self) -> None: ...


class ProviderError(Exception):
    """A call that gave no usable answer. `code` is a stable snake_case word; nothing here holds text from the call."""

    default_code: ClassVar[str] = "provider_error"

    def __init__(self, code: str = "", *, usage: Usage | None = None) -> None:
        self.code = code or self.default_code
        self.usage = usage or Usage()
        super().__init__(self.code)


class InvalidAnswer(ProviderError):
    """Empty, not JSON, or breaking the output model. `repair` is what to show to the model."""

    default_code = "invalid_answer"

    def __init__(self, code: str = "", *, repair: Repair, usage: Usage | None = None) -> None:
        super().__init__(code, usage=usage)
        self.repair = repair


class Refused(ProviderError):
    """The model refused, or the vendor's safety filter blocked question or answer."""

    default_code = "refused"


class Truncated(ProviderError):
    """The answer was cut off at the token limit."""

    default_code = "truncated"


class SchemaRefused(ProviderError):
    """The endpoint knows no structured output of this kind; the adapter has switched to a plainer one."""

    default_code = "schema_refused"


class BadRequest(ProviderError):
    """400, 404, 422, too long a context: the same question would be refused again."""

    default_code = "bad_request"


class UnknownModel(ProviderError):
    """The provider does not have the configured model."""

    default_code = "unknown_model"


class AuthRefused(ProviderError):
    """401, 403: the key is refused."""

    default_code = "auth_refused"


class QuotaExhausted(ProviderError):
    """402, `insufficient_quota`: the account has no money left."""

    default_code = "insufficient_quota"


class RateLimited(ProviderError):
    """429. `hint_seconds` is when to come back according to the server, None if it did not say."""

    default_code = "rate_limited"

    def __init__(self, code: str = "", *, hint_seconds: float | None = None) -> None:
        super().__init__(code)
        self.hint_seconds = hint_seconds


class ServerFailed(ProviderError):
    """5xx, or a 200 that is not the vendor's protocol (a proxy's HTML page)."""

    default_code = "server_error"


class ConnectionLost(ProviderError):
    """No connection, or it was reset before the answer was complete."""

    default_code = "connection_lost"


class Busy(ProviderError):
    """408, 409: the server gave up on this call; another may do."""

    default_code = "busy"


class TimedOut(ProviderError):
    """No answer within AI_TIMEOUT."""

    default_code = "timeout"


def validate(text: str | None, output_model: type[T], usage: Usage) -> T:
    """The answer as the output model, exactly: no defaults filled in for what is wrong, no "mostly".

    Raises:
        InvalidAnswer: with the problem in words for the repair turn.
    """
    answer = _without_code_fence(text or "")
    if not answer:
        raise InvalidAnswer("empty_answer", repair=Repair("", "The answer was empty."), usage=usage)
    try:
        return output_model.model_validate_json(answer.encode())
    except UnicodeEncodeError as error:
        problem = "The answer holds characters that are not valid Unicode."
        raise InvalidAnswer("not_unicode", repair=Repair("", problem), usage=usage) from error
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        code = "not_json" if any(p["type"] == "json_invalid" for p in problems) else "schema_broken"
        known = set(output_model.model_fields)
        lines = [
            f"- {_place(p['loc'], known)}: {'unknown field' if p['type'] == 'extra_forbidden' else p['msg']}"
            for p in problems[:_PROBLEMS_SHOWN]
        ]
        repair = Repair(answer[:_REPAIR_ANSWER_CHARS], "\n".join(lines))
        # `from None`: the original holds the model's words, which must not reach a log.
        raise InvalidAnswer(code, repair=repair, usage=usage) from None


def _place(loc: tuple[int | str, ...], known: set[str]) -> str:
    # A key of the model's own making is not repeated into the system message: it may carry somebody's instructions.
    if not loc:
        return "answer"
    if loc[0] not in known:
        return "answer"
    return ".".join(str(part) if isinstance(part, int) or part.isidentifier() else "?" for part in loc)[:80]


def _without_code_fence(text: str) -> str:
    """Plain JSON modes often come wrapped in one Markdown code block; anything else around the JSON is an error."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```") and len(text) > 6:
        text = text[3:-3].removeprefix("json").strip()
    return text
