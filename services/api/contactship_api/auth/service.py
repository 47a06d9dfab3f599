"""Logging in, and the first ADMIN."""

import structlog
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from contactship_common import passwords
from contactship_common.errors import InvalidLogin
from contactship_common.leads import normalise_email
from contactship_common.models import Role, User
from contactship_common.models.base import new_id
from contactship_common.uow import UnitOfWork

log = structlog.get_logger()


async def log_in(uow: UnitOfWork, email: str, password: str) -> User:
    """The user these belong to.

    A wrong e-mail and a wrong password answer alike and take the same time; both are audited.

    Raises:
        InvalidLogin: no active user has this e-mail and password.
    """
    # A session of its own, so that the connection goes back while the hash is computed: a burst of logins must not
    # hold the pool.
    async with uow.runtime.db.reading() as session:
        user = (await session.execute(select(User).where(User.email == email))).scalar_one_or_none()
    fits, better_hash = await passwords.verify_password(password, user.password_hash if user else None)
    if user is None or not fits or not user.active:
        uow.audit("auth.login_failed", "user", user.id if user else None)
        raise InvalidLogin
    if better_hash is not None:
        await uow.session.execute(update(User).where(col(User.id) == user.id).values(password_hash=better_hash))
    uow.audit("auth.login", "user", user.id)
    return user


async def ensure_first_admin(uow: UnitOfWork, admin: tuple[str, str, str] | None) -> None:
    """Make the first ADMIN if there is none; without the settings for it (production), say so."""
    existing = await uow.session.execute(select(User.id).where(User.role == Role.ADMIN).limit(1))
    if existing.first() is not None:
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
