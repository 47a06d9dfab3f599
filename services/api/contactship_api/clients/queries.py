"""Reads of clients, each starting from what the caller may see."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_api.http.paging import ordered, text_matches
from contactship_api.http.totals import bounded, total_of
from contactship_common.errors import Forbidden
from contactship_common.models import Client

SORTS: dict[str, Any] = {"createdAt": col(Client.created_at), "name": col(Client.name_sort)}


def visible(who: Principal) -> sa.Select[Any]:
    """Clients, as far as the caller may see them: all, or none."""
    if not who.may(Scope.MEETINGS_READ):
        raise Forbidden
    return sa.select(Client)


async def find(session: AsyncSession, who: Principal, client_id: UUID) -> Client | None:
    row = (await session.execute(visible(who).where(col(Client.id) == client_id))).first()
    return row[0] if row else None


async def page(
    session: AsyncSession, who: Principal, *, search: str | None, sort: str, page: int, take: int, timeout_ms: int
) -> tuple[list[Client], int, bool]:
    """One page by number: rows, the total, and whether the total is an estimate."""
    conditions = [text_matches(col(Client.search_text), search)] if search else []
    statement = visible(who).where(*conditions).order_by(*ordered(SORTS, sort, col(Client.id)))
    async with bounded(session, searching=bool(search), timeout_ms=timeout_ms):
        rows = list((await session.execute(statement.limit(take).offset((page - 1) * take))).scalars())
        total, estimated = await total_of(session, sa.select(sa.literal(1)).select_from(Client).where(*conditions))
    return rows, total, estimated
