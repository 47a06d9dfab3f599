"""Shapes of /audit-logs."""

from typing import Any
from uuid import UUID

from contactship_api.http.schemas import CursorMeta, Out, UtcTime


class AuditOut(Out):
    """One act. `actor` is `user:{id}`, `key:{id}`, `system`, `ai` or `anonymous`."""

    id: UUID
    actor: str
    action: str
    entity_type: str | None
    entity_id: str | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    metadata: dict[str, Any]
    created_at: UtcTime


class AuditPage(Out):
    data: list[AuditOut]
    meta: CursorMeta
