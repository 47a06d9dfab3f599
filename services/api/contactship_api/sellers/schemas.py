"""Shapes of /sellers."""

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StrictBool

from contactship_api.http.schemas import (
    BlankIsNull,
    Email,
    In,
    Name,
    NotNull,
    Out,
    PageMeta,
    Phone,
    Text,
    UtcTime,
)

Instructions = Annotated[
    Annotated[Text, Field(max_length=2_000)] | None,
    BlankIsNull,
    Field(description="More instructions for the model on this seller's meetings."),
]
MaybeUser = Annotated[UUID | None, BlankIsNull, Field(description="The account of this seller, if they have one.")]


class SellerFull(In):
    """A whole seller, as made with POST and replaced with PUT: what is left out is empty afterwards, and `active`
    true."""

    name: Name = Field(examples=["Tomás Rivas"])
    email: Email = Field(examples=["tomas.rivas@example.com"])
    phone: Phone = None
    active: StrictBool = True
    prompt: Instructions = None
    user_id: MaybeUser = None


class SellerUpdate(In):
    """Only what is given changes; null or an empty text empties a field that may be empty."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": False}]})

    name: Annotated[Name | None, NotNull] = None
    email: Annotated[Email | None, NotNull] = None
    phone: Phone = None
    active: Annotated[StrictBool | None, NotNull] = None
    prompt: Instructions = None
    user_id: MaybeUser = None


class SellerOut(Out):
    id: UUID
    name: str
    email: str
    phone: str | None
    active: bool
    prompt: str | None
    user_id: UUID | None
    created_at: UtcTime
    updated_at: UtcTime


class SellerPage(Out):
    data: list[SellerOut]
    meta: PageMeta
