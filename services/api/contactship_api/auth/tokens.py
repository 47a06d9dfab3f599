"""Logins as families of refresh tokens: opening, rotating, ending them."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.accounts import open_family
from contactship_common.errors import InvalidRefreshToken
from contactship_common.models import TokenFamily, User
from contactship_common.refresh_tokens import issue_refresh_token, parse_refresh_token
from contactship_common.settings import ApiSettings
from contactship_common.tokens import issue_access_token
from contactship_common.uow import UnitOfWork

LOST_ANSWER_SECONDS = 10
"""The previous token gets the same successor again for this long: an answer that was lost is not a theft."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login or a refresh gives. `expires_in` is in seconds."""

    access: str
    expires_in: int
    refresh: str


async def start(uow: UnitOfWork, settings: ApiSettings, user: User) -> Tokens:
    """The first tokens of a new login."""
    family = await open_family(uow, user.id, settings.refresh_expires_in)
    return _issue(settings, user, family.id, family.generation)


async def rotate(uow: UnitOfWork, settings: ApiSettings, token: str) -> tuple[User, Tokens]:
    """New tokens for a refresh token; the old one is dead.

    Raises:
        InvalidRefreshToken: wrong, expired or revoked; or used before, and then the whole family is revoked with it.
    """
    presented = parse_refresh_token(settings, token)
    if presented is None:
        raise InvalidRefreshToken
    living = sa.and_(col(TokenFamily.revoked_at).is_(None), col(TokenFamily.expires_at) > sa.func.now())
    rotated = (
        sa.update(TokenFamily)
        .where(col(TokenFamily.id) == presented.family, col(TokenFamily.generation) == presented.generation, living)
        .values(
            generation=col(TokenFamily.generation) + 1,
            rotated_at=sa.func.clock_timestamp(),
            expires_at=sa.func.now() + sa.func.make_interval(0, 0, 0, 0, 0, 0, settings.refresh_expires_in),
        )
        .returning(col(TokenFamily.user_id))
    )
    user_id = (await uow.session.execute(rotated)).scalar_one_or_none()
    if user_id is None:
        user_id = await _previous_or_theft(uow, presented.family, presented.generation)
    user = await uow.session.get(User, user_id)
    if user is None or not user.active:
        raise InvalidRefreshToken
    return user, _issue(settings, user, presented.family, presented.generation + 1)


async def _previous_or_theft(uow: UnitOfWork, family_id: UUID, generation: int) -> UUID:
    recent = col(TokenFamily.rotated_at) > sa.func.clock_timestamp() - sa.func.make_interval(
        0, 0, 0, 0, 0, 0, LOST_ANSWER_SECONDS
    )
    statement = (
        sa.select(TokenFamily, recent, col(TokenFamily.expires_at) > sa.func.now())
        .where(col(TokenFamily.id) == family_id)
        .with_for_update()
    )
    row = (await uow.session.execute(statement)).first()
    if row is None:
        raise InvalidRefreshToken
    family, rotated_recently, alive = row
    if family.revoked_at is not None or not alive:
        raise InvalidRefreshToken
    if generation == family.generation - 1 and rotated_recently:
        return UUID(str(family.user_id))
    await end(uow, family_id)
    uow.audit("auth.refresh_token_reused", "user", family.user_id, family=str(family_id), generation=generation)
    raise InvalidRefreshToken


async def end(uow: UnitOfWork, family_id: UUID) -> None:
    """Log out: the family's refresh token and its access tokens are dead now."""
    theirs = sa.update(TokenFamily).where(col(TokenFamily.id) == family_id, col(TokenFamily.revoked_at).is_(None))
    ended = await uow.session.execute(theirs.values(revoked_at=sa.func.now()).returning(col(TokenFamily.user_id)))
    for user_id in ended.scalars():
        uow.access_changed(user_id)


def _issue(settings: ApiSettings, user: User, family: UUID, generation: int) -> Tokens:
    access, expires_in = issue_access_token(settings, user_id=user.id, email=user.email, role=user.role, family=family)
    return Tokens(access, expires_in, issue_refresh_token(settings, family, generation))
