"""What clients see of messages and analyses: the same over REST and in events, whichever process emits them."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from contactship_common.models.conversation import ContentType, MessageStatus, Priority, SenderType

_Utc = Annotated[datetime, AfterValidator(lambda moment: moment.astimezone(UTC))]


class _Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class MessageOut(_Shape):
    """A message. `seq` counts from 1 in its conversation: sort by it, and ask for `?since=` the last one you have."""

    id: UUID
    conversation_id: UUID
    seq: int
    sender_type: SenderType
    sender_user_id: UUID | None
    content_text: str | None
    content_type: ContentType
    media_url: str | None
    status: MessageStatus
    error_code: str | None
    error_message: str | None
    sent_at: _Utc | None
    delivered_at: _Utc | None
    read_at: _Utc | None
    created_at: _Utc


class AIData(_Shape):
    """What the analysis found."""

    summary: str | None
    priority: Priority | None
    tags: list[str]
    updated_at: _Utc | None
