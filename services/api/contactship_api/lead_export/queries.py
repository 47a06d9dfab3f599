"""Walking all leads that match a filter, starting from what the caller may see."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.leads.queries import LeadFilter, conditions
from contactship_common.db import Database
from contactship_common.errors import Forbidden
from contactship_common.models import Lead, Person

LEADS_A_STEP = 2_000

_ROWS = sa.select(
    col(Lead.id), col(Person.first_name), col(Person.last_name), col(Lead.email), col(Person.phone),
    col(Person.address), col(Person.date_of_birth), col(Person.nationality), col(Person.gender),
    col(Person.picture_url), col(Lead.status), col(Lead.source), col(Lead.external_id), col(Lead.owner_id),
    col(Lead.summary), col(Lead.next_action), col(Lead.meta).label("meta"), col(Lead.created_at), col(Lead.updated_at),
).join(Person, col(Person.id) == col(Lead.person_id))  # fmt: skip


async def walk(database: Database, who: Principal, wanted: LeadFilter) -> AsyncIterator[Sequence[Any]]:
    """Matching leads by id, in steps; no session is held between them, so a slow client holds nothing. Leads that were
    not changed meanwhile come exactly once.

    Each step looks at a bounded number of leads, whatever the search: a broad one takes longer, but never a long
    statement.

    Raises:
        Forbidden
    """
    if not who.may(Scope.LEADS_ADMIN):
        raise Forbidden
    indexed = conditions(LeadFilter(wanted.status, wanted.source, wanted.owner_id))
    after: UUID | None = None
    while True:
        beyond = [] if after is None else [col(Lead.id) > after]
        last = sa.select(col(Lead.id)).where(*indexed, *beyond).order_by(col(Lead.id)).offset(LEADS_A_STEP - 1).limit(1)
        async with database.reading() as session:
            until = (await session.execute(last)).scalar_one_or_none()
            within = [] if until is None else [col(Lead.id) <= until]
            statement = _ROWS.where(*conditions(wanted), *beyond, *within).order_by(col(Lead.id))
            rows = (await session.execute(statement)).all()
        yield rows
        if until is None:
            return
        after = until
