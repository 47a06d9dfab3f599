"""Accounts: renamed, promoted, deactivated."""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.users.schemas import UserUpdate
from contactship_common.accounts import revoke_families
from contactship_common.errors import LastAdmin, UserNotFound
from contactship_common.models import Role, User
from contactship_common.uow import UnitOfWork


async def update(uow: UnitOfWork, user_id: UUID, body: UserUpdate) -> User:
    """Change what is given. Losing a role or the account ends all of the user's logins.

    Raises:
        UserNotFound
        LastAdmin: nobody would be left to undo it.
    """
    # All administrators are locked, in one order: two of them who demote each other take turns.
    admins = sa.select(User).where(col(User.role) == Role.ADMIN, col(User.active)).order_by(col(User.id))
    active_admins = {admin.id for admin in (await uow.session.execute(admins.with_for_update())).scalars()}
    user = await uow.session.get(User, user_id, with_for_update=True, populate_existing=True)
    if user is None:
        raise UserNotFound
    given = body.model_dump(exclude_unset=True)
    role, active = given.get("role", user.role), given.get("active", user.active)
    if active_admins == {user_id} and (role != Role.ADMIN or not active):
        raise LastAdmin
    changed = {name: value for name, value in given.items() if getattr(user, name) != value}
    if not changed:
        return user
    for name, value in changed.items():
        setattr(user, name, value)
    user.updated_at = sa.func.now()  # type: ignore[assignment]
    if "role" in changed or "active" in changed:
        await revoke_families(uow, user_id)
    uow.audit(
        "user.update", "user", user_id, **{n: v for n, v in changed.items() if n != "name"}, fields=sorted(changed)
    )
    await uow.session.flush()
    await uow.session.refresh(user)
    return user
