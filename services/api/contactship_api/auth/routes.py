"""/auth: who are you."""

from fastapi import Request

from contactship_api.auth import service
from contactship_api.auth.schemas import Login, TokenOut, UserOut
from contactship_api.deps import TheGateway, Uow
from contactship_api.http.route import api_router, public, raises
from contactship_common.errors import DatabaseUnavailable, InvalidLogin
from contactship_common.tokens import issue_access_token

router = api_router(prefix="/auth", tags=["auth"])


@router.post("/login", response_model=TokenOut)
@public
@raises(InvalidLogin, DatabaseUnavailable)
async def login(request: Request, body: Login, uow: Uow, gateway: TheGateway) -> TokenOut:
    """Log in with e-mail and password; the answer's `access_token` goes into `Authorization: Bearer …`.

    Tries are limited per address and, from that address, per account.
    """
    ip = request.scope["contactship.ip"]
    await gateway.login_limits.check_address(ip)
    await gateway.login_limits.check_account(ip, body.email)
    user = await service.log_in(uow, body.email, body.password)
    token, expires_in = issue_access_token(gateway.settings, user_id=user.id, email=user.email, role=user.role)
    return TokenOut(access_token=token, token=token, expires_in=expires_in, user=UserOut.model_validate(user))
