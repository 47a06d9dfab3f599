"""What a handler may say about a run besides returning a result.

Anything else that a handler raises counts as a failed run: the task is queued again with exponential backoff until
its `max_attempts` are used up.
"""

from dataclasses import dataclass, field
from typing import Any


class TaskError(Exception):
    """Base of the outcomes. `code` is a stable snake_case word, `message` is safe to show to the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Permanent(TaskError):
    """Trying again cannot help: the task ends as failed with this code and message."""


class Transient(TaskError):
    """This run failed but another may succeed: counted as a failure, queued again with backoff."""


class RetryLater(TaskError):
    """Not now, and nobody's fault (a rate-limit hint, an open circuit, an empty budget): queued again after
    `delay_seconds`, not counted as a failure. Waiting ends with the kind's `MAX_WAIT_SECONDS`, unless `patient`: what
    waits for our own decision (a budget) is not given up."""

    def __init__(self, code: str, message: str, *, delay_seconds: float, patient: bool = False) -> None:
        super().__init__(code, message)
        self.delay_seconds = delay_seconds
        self.patient = patient


@dataclass(frozen=True, slots=True)
class Done:
    """Returned by `load` when there is nothing to do: the task succeeds with this result and `work` never runs."""

    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skip:
    """Returned by `load` when the subject is gone or no longer wants the work: the task ends as cancelled."""

    reason: str


@dataclass(frozen=True, slots=True)
class Again:
    """Returned by `record`: what it wrote stays, and the task runs again after `delay_seconds`. Not counted as a
    failure: the handler keeps count itself and gives up by returning `GivenUp`."""

    code: str
    message: str
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Returned by `record`: what it wrote stays, and the task ends as failed; the `failed` step is not called."""

    code: str
    message: str
