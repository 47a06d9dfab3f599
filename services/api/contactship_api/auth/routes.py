"""/auth: who are you."""

from uuid import UUID

from fastapi import Request, Response

from contactship_api.access.permissions import Principal
from contactship_api.access.requires import AnyCaller, MaybeCaller
from contactship_api.auth import service, tokens
from contactship_api.auth.schemas import CallerOut, ChangePassword, Login, Refresh, Register, TokenOut, UserOut
from contactship_api.deps import Reading, TheGateway, Uow
from contactship_api.http.route import api_router, public, raises
from contactship_common.errors import (
    ConcurrentChange,
    DatabaseUnavailable,
    EmailTaken,
    InvalidLogin,
    InvalidRefreshToken,
    PeopleOnly,
    RegistrationClosed,
    RoleNotAllowed,
    WrongPassword,
)
from contactship_common.models import User

router = api_router(prefix="/auth", tags=["auth"])


def _out(user: User, made: tokens.Tokens) -> TokenOut:
    return TokenOut(
        access_token=made.access,
        token=made.access,
        expires_in=made.expires_in,
        refresh_token=made.refresh,
        user=UserOut.model_validate(user),
    )


def _user_id(who: Principal) -> UUID:
    if who.kind != "user" or who.id is None:
        raise PeopleOnly
    return who.id


@router.post("/login", response_model=TokenOut)
@public
@raises(InvalidLogin, ConcurrentChange, DatabaseUnavailable)
async def login(request: Request, body: Login, uow: Uow, gateway: TheGateway) -> TokenOut:
    """Log in with e-mail and password; the answer's `access_token` goes into `Authorization: Bearer …`.

    Tries are limited per address and, from that address, per account.
    """
    ip = request.scope["contactship.ip"]
    await gateway.login_limits.check_address(ip)
    await gateway.login_limits.check_account(ip, body.email)
    user = await service.log_in(uow, body.email, body.password)
    await gateway.login_limits.succeeded(ip, body.email)
    return _out(user, await tokens.start(uow, gateway.settings, user))


@router.post("/register", status_code=201, response_model=TokenOut, openapi_extra={"security": [{}]})
@raises(EmailTaken, RoleNotAllowed, RegistrationClosed, DatabaseUnavailable)
async def register(request: Request, body: Register, who: MaybeCaller, uow: Uow, gateway: TheGateway) -> TokenOut:
    """Make an account and log in to it. Without credentials only as SALES_AGENT, and only where registration is open;
    an ADMIN may make any role."""
    await gateway.login_limits.check_address(request.scope["contactship.ip"])
    user = await service.register(uow, gateway.settings, who, body)
    return _out(user, await tokens.start(uow, gateway.settings, user))


@router.get("/me", response_model=CallerOut)
async def me(who: AnyCaller, session: Reading) -> CallerOut:
    """The caller."""
    return await service.describe(session, who)


@router.get("/profile", response_model=CallerOut)
async def profile(who: AnyCaller, session: Reading) -> CallerOut:
    """The caller; another name for `/auth/me`."""
    return await service.describe(session, who)


@router.post("/refresh", response_model=TokenOut)
@public
@raises(InvalidRefreshToken, DatabaseUnavailable)
async def refresh(request: Request, body: Refresh, uow: Uow, gateway: TheGateway) -> TokenOut:
    """New tokens for a refresh token, which is dead afterwards. Sent again within 10 s (the answer was lost), it gets
    the same successor; sent later, the whole login is revoked."""
    user, made = await tokens.rotate(uow, gateway.settings, body.refresh_token)
    return _out(user, made)


@router.post("/logout", status_code=204)
@raises(PeopleOnly)
async def logout(who: AnyCaller, uow: Uow, gateway: TheGateway) -> Response:
    """End this login: its refresh token at once, its access tokens everywhere within 30 s."""
    user_id = _user_id(who)
    if who.family is not None:
        await tokens.end(uow, who.family)
    uow.audit("auth.logout", "user", user_id)
    gateway.authenticator.forget_user(user_id)
    return Response(status_code=204)


@router.post("/change-password", status_code=204)
@raises(PeopleOnly, WrongPassword, ConcurrentChange)
async def change_password(
    request: Request, body: ChangePassword, who: AnyCaller, uow: Uow, gateway: TheGateway
) -> Response:
    """Set a new password and end every login of this account, this one included."""
    user_id = _user_id(who)
    ip, account = request.scope["contactship.ip"], f"password:{user_id}"
    await gateway.login_limits.check_account(ip, account)
    await service.change_password(uow, user_id, body)
    await gateway.login_limits.succeeded(ip, account)
    gateway.authenticator.forget_user(user_id)
    return Response(status_code=204)
