"""/otp: paths, status codes, who may call."""

from fastapi import Request, Response

from contactship_api.access.requires import OtpSend
from contactship_api.deps import IdempotentUow, TheGateway
from contactship_api.http.route import api_router, raises
from contactship_api.otp import service, verifying
from contactship_api.otp.errors import (
    CountryNotAllowed,
    OtpExpired,
    OtpInvalid,
    OtpLocked,
    OtpNotConfigured,
    OtpNotFound,
    OtpRateLimited,
    OtpUsed,
    PhoneInvalid,
    PhoneNotMobile,
)
from contactship_api.otp.schemas import OtpCreate, OtpCreated, OtpVerified, OtpVerify
from contactship_common.errors import OtpCorrelationConflict

router = api_router(prefix="/otp", tags=["otp"])


@router.post(
    "",
    status_code=201,
    response_model=OtpCreated,
    responses={200: {"model": OtpCreated, "description": "This correlationId was asked for before; no second SMS"}},
)
@raises(PhoneInvalid, PhoneNotMobile, CountryNotAllowed, OtpCorrelationConflict, OtpRateLimited, OtpNotConfigured)
async def create_otp(
    body: OtpCreate, who: OtpSend, uow: IdempotentUow, gateway: TheGateway, response: Response
) -> OtpCreated:
    """Send a one-time code by SMS. A new code replaces the number's older one for the same purpose."""
    created, is_new = await service.create(uow, gateway.contact_center, body)
    response.status_code = 201 if is_new else 200
    return created


@router.post("/verify", response_model=OtpVerified)
@raises(OtpInvalid, OtpExpired, OtpLocked, OtpUsed, OtpNotFound, OtpNotConfigured)
async def verify_otp(
    request: Request, body: OtpVerify, who: OtpSend, uow: IdempotentUow, gateway: TheGateway
) -> OtpVerified:
    """Check a code, once. Wrong codes count per number and purpose: asking for a new one buys no new guesses."""
    await gateway.login_limits.check_code(request.scope["contactship.ip"])
    return await verifying.verify(uow, gateway.contact_center, body)
