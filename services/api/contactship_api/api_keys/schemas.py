"""Shapes of /api-keys."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field
from pydantic_core import PydanticCustomError

from contactship_api.access.permissions import Scope
from contactship_api.http.schemas import In, Line, Out, UtcTime, WrittenTime


def _in_future(moment: datetime) -> datetime:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time_out_of_range", "expiresAt is too far away") from None
    if moment <= datetime.now(UTC):
        raise PydanticCustomError("time_in_past", "expiresAt must lie in the future")
    return moment


class ApiKeyCreate(In):
    name: Annotated[Line, Field(min_length=1, max_length=255)] = Field(examples=["Website form"])
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), examples=[["leads:read", "leads:write"]])
    expires_at: Annotated[AwareDatetime, WrittenTime, AfterValidator(_in_future)] | None = None


class ApiKeyOut(Out):
    id: UUID
    name: str
    scopes: list[str]
    created_at: UtcTime
    expires_at: UtcTime | None
    last_used_at: UtcTime | None


class ApiKeyMade(ApiKeyOut):
    """`key` is shown here and never again."""

    key: str


class ApiKeyList(Out):
    data: list[ApiKeyOut]
