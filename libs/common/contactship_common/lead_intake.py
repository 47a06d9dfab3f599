"""Taking in many leads at once, from sources and files: each e-mail once, whatever else happens at the same time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from contactship_common.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class NewLead:
    """A lead from outside, validated and normalised: `email` trimmed and lower case, `phone` as text."""

    first_name: str
    last_name: str
    email: str
    source: str
    status: str = "new"
    phone: str | None = None
    address: dict[str, Any] | None = None
    date_of_birth: date | None = None
    nationality: str | None = None
    gender: str | None = None
    picture_url: str | None = None
    external_id: str | None = None
    metadata: dict[str, Any] | None = None
    synced_at: datetime | None = None


@dataclass(slots=True)
class Intake:
    """What became of the given leads, by their positions: `created` names the new lead's id, `skipped` were there
    already (in the table, or earlier in the same call)."""

    created: dict[int, UUID] = field(default_factory=dict)
    skipped: list[int] = field(default_factory=list)


async def take_in(uow: UnitOfWork, leads: Sequence[NewLead], *, event: str, actor: str) -> Intake:
    """Insert those leads whose e-mail and `(source, external_id)` are not there yet, with persons, phones and one
    `lead_events` row (`event`) each.

    Set-based: a constant number of statements, rows sorted by e-mail so that parallel calls cannot deadlock.
    """
    raise NotImplementedError
