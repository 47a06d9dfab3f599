"""/audit-logs: who did what, when, from where."""

from typing import Annotated

from fastapi import Query
from pydantic import AwareDatetime

from contactship_api.access.requires import AuditRead
from contactship_api.audit import queries
from contactship_api.audit.schemas import AuditPage
from contactship_api.deps import Reading
from contactship_api.http.paging import Cursor, CursorLimit
from contactship_api.http.personal_data import PII_PROBLEMS, Personal
from contactship_api.http.problems import BadCursor
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import CursorMeta, WrittenTime

router = api_router(prefix="/audit-logs", tags=["audit"])

Word = Annotated[str | None, Query(max_length=100, pattern=r"^[\w:.@\-]*$")]


@router.get("", response_model=AuditPage)
@raises(BadCursor, *PII_PROBLEMS)
async def list_audit_logs(
    who: AuditRead,
    personal: Personal,
    session: Reading,
    actor: Word = None,
    action: Word = None,
    entity_type: Annotated[Word, Query(alias="entityType")] = None,
    entity_id: Annotated[Word, Query(alias="entityId")] = None,
    since: Annotated[AwareDatetime | None, WrittenTime, Query(alias="from", description="From this moment.")] = None,
    until: Annotated[AwareDatetime | None, WrittenTime, Query(alias="to", description="Before this moment.")] = None,
    limit: CursorLimit = 20,
    cursor: Cursor = None,
) -> AuditPage:
    """What was done, newest first. The log is append-only: the database refuses changes to it. Personal data
    in it are masked for everybody."""
    rows, following = await queries.page(
        session,
        personal,
        actor=actor,
        action=action,
        entity_type=entity_type,
        entity_id=entity_id,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    personal.shows("audit_log", [row.id for row in rows])
    return AuditPage(data=rows, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))
