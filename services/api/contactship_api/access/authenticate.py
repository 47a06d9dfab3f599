"""From headers to a Principal. A verified token is remembered until it expires; its user is looked at again after
a quarter of a minute, so that a deactivation or a changed role is in force everywhere within 30 s."""

import hashlib
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass

import sqlalchemy as sa
from fastapi import Request

from contactship_api.access.permissions import Principal, person, root_key
from contactship_common.db import Database
from contactship_common.errors import Unauthenticated
from contactship_common.models import User
from contactship_common.settings import ApiSettings
from contactship_common.tokens import AccessClaims, verify_access_token

_USER_FRESH_SECONDS = 15.0
_REMEMBERED = 10_000


@dataclass(slots=True)
class _Known:
    claims: AccessClaims
    principal: Principal
    checked_at: float


class Authenticator:
    """One a process; remembers the tokens it has verified, at most 10,000 of them."""

    def __init__(self, settings: ApiSettings, db: Database) -> None:
        self._settings = settings
        self._db = db
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def principal(self, request: Request) -> Principal | None:
        """The caller, or None without credentials.

        Raises:
            Unauthenticated: credentials were given and are not good.
        """
        key = request.headers.get("x-api-key")
        if key is not None:
            return self._machine(key)
        authorization = request.headers.get("authorization")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        return await self._person(token.strip())

    def _machine(self, key: str) -> Principal:
        secret = self._settings.api_secret_key
        if secret and hmac.compare_digest(key.encode(), secret.encode()):
            return root_key()
        raise Unauthenticated

    async def _person(self, token: str) -> Principal:
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None and known.claims.expires_at > time.time():
            if time.monotonic() - known.checked_at < _USER_FRESH_SECONDS:
                return known.principal
            claims = known.claims
        else:
            self._known.pop(digest, None)
            verified = verify_access_token(self._settings, token)
            if verified is None:
                raise Unauthenticated
            claims = verified
        principal = await self._look_at_user(claims)
        if principal is None:
            self._known.pop(digest, None)
            raise Unauthenticated
        self._known[digest] = _Known(claims, principal, time.monotonic())
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return principal

    async def _look_at_user(self, claims: AccessClaims) -> Principal | None:
        """The user as it is now; None if it is gone, inactive, or its role is no longer the token's."""
        async with self._db.reading() as session:
            statement = sa.select(User.email, User.role).where(User.id == claims.user_id, User.active)  # type: ignore[call-overload]
            row = (await session.execute(statement)).first()
        if row is None or row.role != claims.role:
            return None
        return person(claims.user_id, row.email, row.role)
