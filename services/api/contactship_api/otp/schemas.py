"""Shapes of /otp. A code is never in an answer."""

from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from contactship_api.http.schemas import BlankIsNull, In, Line, Out, UtcTime
from contactship_common.models import OtpPurpose

_LARGEST_TEMPLATE_BYTES = 4_096


def _small(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if value is not None and len(orjson.dumps(value)) > _LARGEST_TEMPLATE_BYTES:
        raise PydanticCustomError("template_data_too_large", "templateData may not exceed 4 KiB")
    return value


class OtpCreate(In):
    """`correlationId` is yours to choose; the same one again gives the same code and no second SMS. `templateData` is
    accepted for older clients: the texts have no variables besides the code and its life."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"phone": "+5491155551234", "purpose": "LOGIN_2FA", "correlationId": "login-8f1d"}]
        }
    )

    phone: Annotated[Line, Field(min_length=1, max_length=50)]
    purpose: OtpPurpose
    correlation_id: Annotated[Annotated[Line, Field(max_length=255)] | None, BlankIsNull] = None
    template_data: Annotated[dict[str, Any] | None, AfterValidator(_small)] = None


class OtpCreated(Out):
    correlation_id: str
    interaction_id: UUID | None
    expires_at: UtcTime
    message: str


class OtpVerify(In):
    model_config = ConfigDict(json_schema_extra={"examples": [{"correlationId": "login-8f1d", "otp": "042917"}]})

    correlation_id: Annotated[Line, Field(min_length=1, max_length=255)]
    otp: Annotated[Line, Field(min_length=1, max_length=20)]


class OtpVerified(Out):
    success: Literal[True] = True
    correlation_id: str
    verified_at: UtcTime
