"""The table: what a provider says, and what follows for the call, the circuit, the next provider and the task.

Everything the engine decides after a failure is read from here; it names no error class itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from contactship_ai_worker.providers.base import (
    AuthRefused,
    BadRequest,
    Busy,
    ConnectionLost,
    InvalidAnswer,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Refused,
    SchemaRefused,
    ServerFailed,
    TimedOut,
    Truncated,
    UnknownModel,
)
from contactship_common.models.ai_call import CallOutcome
from contactship_common.tasks.outcomes import Permanent, RetryLater, TaskError, Transient

SHORTEST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 15 * 60.0
NO_HINT_WAIT_SECONDS = 15.0
LONG_HINT_SECONDS = 60.0


class Again(Enum):
    """What the same provider is asked once more in the same run."""

    NO = auto()
    REPAIR = auto()  # one repair turn a run that shows the validation error
    LARGER = auto()  # once a run with a larger token limit
    PLAINER = auto()  # in the plainer mode to which the adapter has switched
    SOON = auto()  # what is over in seconds: 2 more tries, jitter, at most 5 s


class Circuit(Enum):
    """What the provider's circuit learns."""

    ANSWERED = auto()  # it is alive; neither a failure nor a reason to forget earlier ones
    FAILURE = auto()
    OPENS = auto()  # at once, with an alert


class Next(Enum):
    """Whether the next provider is asked in the same run."""

    NO = auto()
    YES = auto()
    LAST_CHANCE = auto()  # once a run; where there is no other, the same provider is asked afresh
    LONG_HINT = auto()  # when the server's hint is over 60 s


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. `out_seconds`: how long an opened circuit keeps the provider out."""

    recorded_as: CallOutcome
    ends: type[TaskError]
    code: str
    message: str
    again: Again = Again.NO
    circuit: Circuit = Circuit.ANSWERED
    next: Next = Next.NO
    out_seconds: float = 0.0


_UNREACHABLE = ("ai_unavailable", "The language model could not be reached.")

TABLE: dict[type[ProviderError], Rule] = {
    InvalidAnswer: Rule(
        # Permanent: after a repair turn and a second chance, another run would only be paid for as well.
        CallOutcome.INVALID, Permanent, "ai_invalid_answer", "The language model gave no valid answer.",
        again=Again.REPAIR, next=Next.LAST_CHANCE,
    ),
    Refused: Rule(CallOutcome.REFUSED, Permanent, "ai_refused", "The language model refused to answer."),
    Truncated: Rule(
        CallOutcome.TRUNCATED, Transient, "ai_truncated", "The language model's answer was cut off.",
        again=Again.LARGER, next=Next.YES,
    ),
    SchemaRefused: Rule(
        CallOutcome.BAD_REQUEST, Permanent, "ai_bad_request", "The language model did not accept the question.",
        again=Again.PLAINER,
    ),
    BadRequest: Rule(
        CallOutcome.BAD_REQUEST, Permanent, "ai_bad_request", "The language model did not accept the question.",
    ),
    UnknownModel: Rule(
        CallOutcome.BAD_REQUEST, Permanent, "ai_unknown_model", "The configured language model does not exist.",
        next=Next.YES,
    ),
    AuthRefused: Rule(
        CallOutcome.AUTH, RetryLater, "ai_key_refused", "The language model's provider refuses our key.",
        circuit=Circuit.OPENS, next=Next.YES, out_seconds=5 * 60.0,
    ),
    QuotaExhausted: Rule(
        CallOutcome.QUOTA, RetryLater, "ai_quota_exhausted", "The language model's quota is used up.",
        circuit=Circuit.OPENS, next=Next.YES, out_seconds=15 * 60.0,
    ),
    RateLimited: Rule(
        CallOutcome.RATE_LIMITED, RetryLater, "ai_rate_limited", "The language model asked us to slow down.",
        next=Next.LONG_HINT,
    ),
    ServerFailed: Rule(
        CallOutcome.ERROR, Transient, *_UNREACHABLE, again=Again.SOON, circuit=Circuit.FAILURE, next=Next.YES
    ),
    ConnectionLost: Rule(
        CallOutcome.ERROR, Transient, *_UNREACHABLE, again=Again.SOON, circuit=Circuit.FAILURE, next=Next.YES
    ),
    Busy: Rule(CallOutcome.ERROR, Transient, *_UNREACHABLE, circuit=Circuit.FAILURE, next=Next.YES),
    TimedOut: Rule(
        CallOutcome.TIMEOUT, Transient, "ai_timeout", "The language model took too long to answer.",
        circuit=Circuit.FAILURE, next=Next.YES,
    ),
}  # fmt: skip


def rule_of(error: ProviderError) -> Rule:
    """The row for `error`."""
    return TABLE[type(error)]


def goes_to_next(error: ProviderError) -> bool:
    """Whether another provider is asked after `error` (for an invalid answer: once a run, which the engine counts)."""
    says = rule_of(error).next
    if says is Next.LONG_HINT:
        return (error.hint_seconds or 0.0) > LONG_HINT_SECONDS if isinstance(error, RateLimited) else False
    return says is not Next.NO


def task_outcome(error: ProviderError, *, out_seconds: float = 0.0) -> TaskError:
    """What the task is told if nothing comes after `error`. `out_seconds`: for how long the provider is now out."""
    rule = rule_of(error)
    if rule.ends is not RetryLater:
        code = "ai_context_too_long" if error.code == "context_too_long" else rule.code
        return rule.ends(code, rule.message)
    hint = error.hint_seconds if isinstance(error, RateLimited) else out_seconds
    return RetryLater(rule.code, rule.message, delay_seconds=clamp_wait(hint))


def unavailable(out_seconds: float) -> RetryLater:
    """A provider that was not even asked because its circuit is open."""
    message = "No language model is available at the moment."
    return RetryLater("ai_unavailable", message, delay_seconds=clamp_wait(out_seconds))


def clamp_wait(seconds: float | None) -> float:
    """A server's hint within 1 s..15 min; what to wait without one."""
    if seconds is None:
        return NO_HINT_WAIT_SECONDS
    return min(max(seconds, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)


def settle(endings: Sequence[TaskError]) -> TaskError:
    """The task's outcome after several providers.

    Answers that were paid for and worthless always count, else a run that also met a rate limit would be paid for
    again and again, uncounted. Otherwise waiting beats failing: the soonest moment at which a provider is back.
    """
    for ending in endings:
        if ending.code in {"ai_invalid_answer", "ai_truncated"}:
            return ending
    waits = [ending for ending in endings if isinstance(ending, RetryLater)]
    if waits:
        return min(waits, key=lambda wait: wait.delay_seconds)
    return next((ending for ending in endings if isinstance(ending, Transient)), endings[-1])
