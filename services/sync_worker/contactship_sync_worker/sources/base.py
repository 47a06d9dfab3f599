"""What an adapter is: something that fetches one page of people, and nothing else."""

from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from contactship_common.settings import SyncSettings
from contactship_common.tasks.outcomes import Permanent
from contactship_sync_worker.sources.http import SourceHttp

T = TypeVar("T")

_LONGEST_REASON = 200


@dataclass(slots=True)
class ExternalLead:
    """One person as the source tells it. Nothing has been checked: values of any JSON type, or None.

    `name` is for sources without separate names. `problem` says why the record cannot be used at all.
    """

    first_name: Any = None
    last_name: Any = None
    name: Any = None
    email: Any = None
    phone: Any = None
    street: Any = None
    city: Any = None
    state: Any = None
    postcode: Any = None
    country: Any = None
    date_of_birth: Any = None
    nationality: Any = None
    gender: Any = None
    picture_url: Any = None
    external_id: Any = None
    metadata: Any = None
    problem: str | None = None


@dataclass(slots=True)
class Page(Generic[T]):
    """What one call brought. `next_cursor` None: there is no more."""

    records: list[T] = field(default_factory=list)
    next_cursor: str | None = None


class Source(Protocol):
    """An adapter. One instance serves all runs, so it keeps no state of a run."""

    async def fetch(self, cursor: str | None, limit: int) -> Page[ExternalLead]:
        """The page at `cursor` (None: the first), of about `limit` people. May run again for the same cursor.

        Raises:
            Permanent: asking again now cannot help; the run fails with this reason.
            RetryLater: the source wants a longer pause.
        """


@dataclass(frozen=True, slots=True)
class Setup:
    """What `build(setup)` of an adapter's file gets: the source's name, its own options, and the shared client."""

    name: str
    options: dict[str, Any]
    settings: SyncSettings
    http: SourceHttp


class Options(BaseModel):
    """Base of an adapter's own options; unknown ones are refused at the worker's start."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def pick(record: Any, path: str) -> Any:
    """The value at a dotted path (`location.street.name`, `phones.0`); None wherever it is not there."""
    for part in path.split(".") if path else ():
        if isinstance(record, dict):
            record = record.get(part)
        elif isinstance(record, list) and part.isdecimal() and int(part) < len(record):
            record = record[int(part)]
        else:
            return None
    return record


def check_error(told: Any) -> None:
    """
    Raises:
        Permanent: the source told of an error in an answer with status 200.
    """
    if told:
        reason = "".join(c for c in str(told) if c.isprintable())[:_LONGEST_REASON]
        raise Permanent("source_error", f"the source answered with an error: {reason}")
