"""Reads of users. Whoever may see one may see all: the routes ask for the right `admin`."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common.models import Role, User

SORTS: dict[str, Any] = {
    "email": col(User.email),
    "name": sa.func.lower(sa.func.coalesce(col(User.name), "")),
    "createdAt": col(User.created_at),
}


async def find(session: AsyncSession, user_id: UUID) -> User | None:
    return await session.get(User, user_id)


async def page(
    session: AsyncSession,
    *,
    role: Role | None,
    active: bool | None,
    search: str | None,
    sort: str,
    page: int,
    take: int,
) -> tuple[list[User], int]:
    """One page and the total."""
    conditions: list[sa.ColumnElement[bool]] = []
    if role is not None:
        conditions.append(col(User.role) == role)
    if active is not None:
        conditions.append(col(User.active) == active)
    if search:
        text = search.lower()
        name = sa.func.lower(sa.func.coalesce(col(User.name), ""))
        conditions.append(sa.or_(col(User.email).contains(text, autoescape=True), name.contains(text, autoescape=True)))
    column: Any = SORTS[sort.removeprefix("-")]
    order = (column.desc(), col(User.id).desc()) if sort.startswith("-") else (column, col(User.id))
    statement = sa.select(User).where(*conditions).order_by(*order)
    rows = (await session.execute(statement.limit(take).offset((page - 1) * take))).scalars()
    counted = sa.select(sa.func.count()).select_from(User).where(*conditions)
    return list(rows), int((await session.execute(counted)).scalar_one())
