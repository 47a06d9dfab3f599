"""Shapes of the webhook inbox."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from contactship_api.http.schemas import CursorMeta, Out, UtcTime


class Received(Out):
    """Stored; a worker handles it. `duplicate`: it was stored before."""

    success: Literal[True] = True
    duplicate: bool = False


class InboxError(Out):
    """Why the entry is not handled."""

    code: str = Field(examples=["phone_region_missing"])
    message: str


class InboxEntryOut(Out):
    """One webhook as it came in. `bodyPreview` is its beginning with personal data masked and secrets removed; null
    once the body has been deleted. `attempts` counts the runs that looked at it."""

    id: UUID
    provider: str = Field(examples=["elevenlabs"])
    kind: str = Field(examples=["call"], description="`call`, `whatsapp`, `sms_status` or `sms_inbound`.")
    key: str = Field(description="What makes it one event, however often it is sent.")
    received_at: UtcTime
    handled_at: UtcTime | None
    attempts: int
    error: InboxError | None
    content_type: str | None
    body_bytes: int | None
    body_preview: str | None


class InboxPage(Out):
    data: list[InboxEntryOut]
    meta: CursorMeta


class ReplayAccepted(Out):
    task_id: UUID
    status: Literal["processing"] = "processing"
    inbox_id: UUID
