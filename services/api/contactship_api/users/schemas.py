"""Shapes of /users."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool
from pydantic_core import PydanticCustomError

from contactship_api.auth.schemas import AccountEmail, NewPassword, UserOut
from contactship_api.http.schemas import BlankIsNull, In, Line, Out, PageMeta
from contactship_common.models import Role


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null_not_allowed", "This field cannot be emptied")
    return value


UserName = Annotated[Annotated[Line, Field(max_length=255)] | None, BlankIsNull]


class UserCreate(In):
    email: AccountEmail = Field(examples=["agent@example.com"])
    password: NewPassword
    name: UserName = None
    role: Role = Role.SALES_AGENT


class UserUpdate(In):
    """Only what is given changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "ADMIN"}, {"active": False}]})

    name: UserName = None
    role: Annotated[Role | None, BeforeValidator(_not_null)] = None
    active: Annotated[StrictBool | None, BeforeValidator(_not_null)] = None


class UserPage(Out):
    data: list[UserOut]
    meta: PageMeta
