"""Shapes of /clients."""

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from contactship_api.http.schemas import (
    BlankIsNull,
    Email,
    In,
    Line,
    Name,
    NotNull,
    Out,
    PageMeta,
    Phone,
    UtcTime,
)

Company = Annotated[Annotated[Line, Field(max_length=255)] | None, BlankIsNull]
MaybeEmail = Annotated[Email | None, BlankIsNull]


class ClientCreate(In):
    """A company's contact. Empty texts mean null, except the name's."""

    name: Name = Field(examples=["Lucía Fernández"])
    email: MaybeEmail = None
    phone: Phone = None
    company: Company = None


class ClientUpdate(In):
    """Only what is given changes; null or an empty text empties a field that may be empty."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"company": "Molinos del Sur", "phone": ""}]})

    name: Annotated[Name | None, NotNull] = None
    email: MaybeEmail = None
    phone: Phone = None
    company: Company = None


class ClientOut(Out):
    """`leadId`: the lead with the same e-mail, else the one that answers the same phone."""

    id: UUID
    name: str
    email: str | None
    phone: str | None
    company: str | None
    lead_id: UUID | None
    created_at: UtcTime
    updated_at: UtcTime


class ClientPage(Out):
    data: list[ClientOut]
    meta: PageMeta
