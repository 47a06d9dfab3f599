"""Shapes of /auth."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from contactship_api.http.schemas import In, Line, Out, UtcTime
from contactship_common.leads import normalise_email


class Login(In):
    # Not EmailStr: a malformed address is just one more that nobody has, and is answered like it.
    email: Annotated[Line, AfterValidator(normalise_email)] = Field(
        min_length=1, max_length=255, examples=["admin@contactship.com"]
    )
    password: str = Field(min_length=1, max_length=1_000, examples=["admin123"])


class UserOut(Out):
    id: UUID
    email: str
    name: str | None
    role: str
    active: bool
    created_at: UtcTime


class TokenOut(BaseModel):
    """OAuth field names; `token` repeats `access_token` for older clients. `expires_in` is in seconds."""

    access_token: str
    token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105
    expires_in: int
    user: UserOut
