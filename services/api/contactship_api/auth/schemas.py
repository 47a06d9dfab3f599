"""Shapes of /auth."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field

from contactship_api.http.schemas import BlankIsNull, In, Line, Out, UtcTime
from contactship_common.leads import normalise_email
from contactship_common.models import Role
from contactship_common.settings.api import MIN_PASSWORD_CHARACTERS

MAX_PASSWORD_CHARACTERS = 1_000

AccountEmail = Annotated[
    EmailStr,
    BeforeValidator(lambda text: text.strip() if isinstance(text, str) else text),
    AfterValidator(normalise_email),
    Field(max_length=255),
]
# Not EmailStr: at login a malformed address is just one more that nobody has, and is answered like it.
AnyEmail = Annotated[Line, AfterValidator(normalise_email), Field(min_length=1, max_length=255)]
# Passwords are kept as they are: no trimming, any character.
GivenPassword = Annotated[
    str, Field(min_length=1, max_length=MAX_PASSWORD_CHARACTERS, json_schema_extra={"format": "password"})
]
NewPassword = Annotated[
    str,
    Field(
        min_length=MIN_PASSWORD_CHARACTERS,
        max_length=MAX_PASSWORD_CHARACTERS,
        json_schema_extra={"format": "password"},
        examples=["correct horse battery"],
    ),
]


class CredentialsIn(In):
    """Passwords keep the spaces that others lose."""

    model_config = ConfigDict(str_strip_whitespace=False)


class Login(CredentialsIn):
    email: AnyEmail = Field(examples=["admin@contactship.com"])
    password: GivenPassword = Field(examples=["admin123"])


class Register(CredentialsIn):
    email: AccountEmail = Field(examples=["agent@example.com"])
    password: NewPassword
    name: Annotated[Annotated[Line, Field(max_length=255)] | None, BlankIsNull] = None
    role: Role = Role.SALES_AGENT


class Refresh(In):
    # Any text: what is not one of our tokens is 401, whatever is wrong with it.
    refresh_token: str = Field(examples=["01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f.1.Zm9yZ2VkIHNpZ25hdHVyZQ"])


class ChangePassword(CredentialsIn):
    current_password: GivenPassword = Field(examples=["correct horse battery"])
    new_password: NewPassword


class UserOut(Out):
    id: UUID
    email: str
    name: str | None
    role: str
    active: bool
    created_at: UtcTime


class CallerOut(Out):
    """Who is calling: a person (`user`), or a machine with its scopes."""

    kind: Literal["user", "key"]
    id: UUID | None
    email: str | None
    name: str | None
    role: str | None
    active: bool
    scopes: list[str]
    created_at: UtcTime | None


class TokenOut(BaseModel):
    """OAuth field names; `token` repeats `access_token` for older clients. `expires_in` is in seconds."""

    access_token: str
    token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    refresh_token: str
    user: UserOut
