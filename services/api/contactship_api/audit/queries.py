"""Reads of the audit log; personal data in it are masked for everybody, unless revealed."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.audit.schemas import AuditOut
from contactship_api.http.paging import decode_cursor, encode_cursor
from contactship_api.http.personal_data import PersonalData
from contactship_common.models import AuditLog


def shown(row: AuditLog, personal: PersonalData) -> AuditOut:
    return AuditOut(
        id=row.id,
        actor=row.actor,
        action=row.action,
        entity_type=row.entity_type,
        entity_id=personal.text(row.entity_id),
        ip=row.ip,
        user_agent=personal.text(row.user_agent),
        request_id=row.request_id,
        metadata=personal.data(row.data),
        created_at=row.created_at,
    )


async def page(
    session: AsyncSession,
    personal: PersonalData,
    *,
    actor: str | None,
    action: str | None,
    entity_type: str | None,
    entity_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
) -> tuple[list[AuditOut], str | None]:
    """The newest first, and the cursor of the next page."""
    statement = sa.select(AuditLog)
    wanted = {"actor": actor, "action": action, "entity_type": entity_type, "entity_id": entity_id}
    for name, value in wanted.items():
        if value is not None:
            statement = statement.where(col(getattr(AuditLog, name)) == value)
    if since is not None:
        statement = statement.where(col(AuditLog.created_at) >= since)
    if until is not None:
        statement = statement.where(col(AuditLog.created_at) < until)
    if cursor:
        statement = statement.where(col(AuditLog.id) < UUID(decode_cursor("audit", cursor, 1)[0]))
    rows = list((await session.execute(statement.order_by(col(AuditLog.id).desc()).limit(limit + 1))).scalars())
    following = encode_cursor("audit", str(rows[limit - 1].id)) if len(rows) > limit else None
    return [shown(row, personal) for row in rows[:limit]], following
