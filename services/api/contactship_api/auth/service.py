"""Logging in, and the first ADMIN."""

from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from contactship_api.access.permissions import Principal, Scope
from contactship_api.auth.schemas import CallerOut, ChangePassword, Register
from contactship_common import passwords
from contactship_common.accounts import create_account, revoke_families
from contactship_common.errors import (
    ConcurrentChange,
    InvalidLogin,
    RegistrationClosed,
    RoleNotAllowed,
    WrongPassword,
)
from contactship_common.leads import normalise_email
from contactship_common.models import Role, User
from contactship_common.models.base import new_id
from contactship_common.settings import ApiSettings
from contactship_common.uow import UnitOfWork

log = structlog.get_logger()

_LOGIN_TRIES = 3


async def log_in(uow: UnitOfWork, email: str, password: str) -> User:
    """The user these belong to.

    A wrong e-mail and a wrong password answer alike and take the same time; both are audited.

    Raises:
        InvalidLogin: no active user has this e-mail and password.
        ConcurrentChange: the account changed again and again meanwhile.
    """
    for _ in range(_LOGIN_TRIES):
        # A session of its own, so that the connection goes back while the hash is computed: a burst of logins must
        # not hold the pool.
        async with uow.runtime.db.reading() as session:
            user = (await session.execute(select(User).where(User.email == email))).scalar_one_or_none()
        fits, better_hash = await passwords.verify_password(password, user.password_hash if user else None)
        if user is None or not fits or not user.active:
            uow.audit("auth.login_failed", "user", user.id if user else None)
            raise InvalidLogin
        if await _still_so(uow, user, better_hash):
            uow.audit("auth.login", "user", user.id, actor=f"user:{user.id}")
            return user
    raise ConcurrentChange


async def _still_so(uow: UnitOfWork, user: User, better_hash: str | None) -> bool:
    """Whether the account is as it was when its password was read, and hold it so until the commit.

    Without this, a login with the old password could slip in behind a change of password, or a deactivation, that has
    ended all logins while the hash was computed.
    """
    same = (col(User.id) == user.id, col(User.active), col(User.password_hash) == user.password_hash)
    statement: Any = select(User.id).where(*same).with_for_update(read=True)
    if better_hash is not None:
        statement = update(User).where(*same).values(password_hash=better_hash).returning(col(User.id))
    return (await uow.session.execute(statement)).first() is not None


async def register(uow: UnitOfWork, settings: ApiSettings, who: Principal | None, body: Register) -> User:
    """A new account.

    Raises:
        RoleNotAllowed: only an ADMIN makes other roles than SALES_AGENT.
        RegistrationClosed: strangers cannot register here.
        EmailTaken
    """
    is_admin = who is not None and who.may(Scope.ADMIN)
    if not is_admin:
        if body.role != Role.SALES_AGENT:
            raise RoleNotAllowed
        if not settings.registration_is_open:
            raise RegistrationClosed
    return await create_account(uow, email=body.email, password=body.password, name=body.name, role=body.role)


async def describe(session: AsyncSession, who: Principal) -> CallerOut:
    """The caller as the API shows it."""
    user = await session.get(User, who.id) if who.kind == "user" else None
    return CallerOut(
        kind=who.kind,
        id=who.id,
        email=who.email,
        name=user.name if user else None,
        role=who.role,
        active=True,
        scopes=sorted(who.scopes),
        created_at=user.created_at if user else None,
    )


async def change_password(uow: UnitOfWork, user_id: UUID, body: ChangePassword) -> None:
    """Set a new password; every login of the account ends.

    Raises:
        WrongPassword: the current one is wrong; audited.
        ConcurrentChange: somebody else changed it at the same moment.
    """
    async with uow.runtime.db.reading() as session:
        user = await session.get(User, user_id)
    fits, _ = await passwords.verify_password(body.current_password, user.password_hash if user else None)
    if user is None or not fits:
        uow.audit("auth.password_change_refused", "user", user_id)
        raise WrongPassword
    password_hash = await passwords.hash_password(body.new_password)
    changed = await uow.session.execute(
        update(User)
        .where(col(User.id) == user.id, col(User.password_hash) == user.password_hash)
        .values(password_hash=password_hash, updated_at=func.now())
        .returning(col(User.id))
    )
    if changed.first() is None:
        raise ConcurrentChange
    await revoke_families(uow, user.id)
    uow.audit("auth.password_changed", "user", user.id)


async def ensure_first_admin(uow: UnitOfWork, admin: tuple[str, str, str] | None) -> None:
    """Make the first ADMIN if there is none; without the settings for it (production), say so."""
    existing_admin = select(User.id).where(User.role == Role.ADMIN).limit(1)
    if (await uow.session.execute(existing_admin)).first() is not None:
        return
    if admin is None:
        log.warning("admin.missing", hint="set SUPER_ADMIN_EMAIL and SUPER_ADMIN_PASSWORD, or run contactship-admin")
        return
    email, password, name = admin
    hashed = await passwords.hash_password(password)
    row = insert(User).values(
        id=new_id(), email=normalise_email(email), password_hash=hashed, name=name, role=Role.ADMIN, active=True
    )
    # Several API processes start at once: the unique e-mail decides which of them makes the user.
    made = (await uow.session.execute(row.on_conflict_do_nothing().returning(col(User.id)))).first()
    if made is not None:
        uow.audit("user.create", "user", made.id, role=Role.ADMIN, reason="first admin")
        log.info("admin.created")
        return
    if (await uow.session.execute(existing_admin)).first() is None:
        # Whoever has registered with this address has not proven to be the operator.
        log.warning("admin.missing", hint="SUPER_ADMIN_EMAIL belongs to another account; run contactship-admin")
