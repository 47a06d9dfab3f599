"""Accounts and logins: rules that several features share."""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_common import passwords
from contactship_common.errors import EmailTaken
from contactship_common.models import Role, TokenFamily, User
from contactship_common.models.base import new_id
from contactship_common.uow import UnitOfWork


async def create_account(uow: UnitOfWork, *, email: str, password: str, name: str | None, role: Role) -> User:
    """A new account; `email` is normalised already.

    Raises:
        EmailTaken: another account has this e-mail, in whatever case.
    """
    # Hashed before the first statement: no connection is held meanwhile.
    password_hash = await passwords.hash_password(password)
    row = insert(User).values(id=new_id(), email=email, password_hash=password_hash, name=name, role=role, active=True)
    made = await uow.session.execute(row.on_conflict_do_nothing(index_elements=["email"]).returning(User))
    user = made.scalar_one_or_none()
    if user is None:
        raise EmailTaken
    uow.audit("user.create", "user", user.id, role=role)
    return user


async def open_family(uow: UnitOfWork, user_id: UUID, life_seconds: int) -> TokenFamily:
    """A new login, at generation 1."""
    now: datetime = (await uow.session.execute(sa.select(sa.func.now()))).scalar_one()
    family = TokenFamily(user_id=user_id, expires_at=now + timedelta(seconds=life_seconds))
    uow.session.add(family)
    await uow.session.flush()
    return family


async def revoke_families(uow: UnitOfWork, user_id: UUID) -> None:
    """End every login of this user; their access tokens follow at once."""
    theirs = sa.update(TokenFamily).where(col(TokenFamily.user_id) == user_id, col(TokenFamily.revoked_at).is_(None))
    await uow.session.execute(theirs.values(revoked_at=sa.func.now()))
    uow.access_changed(user_id)
