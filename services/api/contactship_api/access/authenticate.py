"""From headers to a Principal.

What was verified is remembered and looked at again after a quarter of a minute, so that a deactivation, a changed
role, a logout or a deleted key is in force everywhere within 30 s, and a busy caller costs a query every 15 s.
"""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col
from starlette.requests import HTTPConnection

from contactship_api.access.permissions import Principal, machine, person, root_key
from contactship_common import api_keys
from contactship_common.db import Database
from contactship_common.errors import Unauthenticated
from contactship_common.models import ApiKey, TokenFamily, User
from contactship_common.settings import ApiSettings
from contactship_common.tokens import AccessClaims, verify_access_token

FRESH_SECONDS = 15.0
_REMEMBERED = 10_000

_LIVING_USER = """
SELECT email, role FROM users
 WHERE id = %(user_id)s AND active
   AND (%(family)s::uuid IS NULL
        OR EXISTS (SELECT FROM token_families WHERE id = %(family)s::uuid AND revoked_at IS NULL))
"""


@dataclass(slots=True)
class _Known:
    principal: Principal
    fresh_until: float  # on the authenticator's clock
    claims: AccessClaims | None = None  # None: an API key


class Authenticator:
    """One a process, for HTTP and sockets alike; remembers at most 10,000 verified tokens and keys, by their hash."""

    def __init__(self, settings: ApiSettings, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._db = db
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    async def principal(self, request: HTTPConnection) -> Principal | None:
        """The caller, or None without credentials.

        Raises:
            Unauthenticated: credentials were given and are not good.
        """
        key = request.headers.get("x-api-key")
        if key is not None:
            return await self._machine(key)
        authorization = request.headers.get("authorization")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated
        return await self._person(token.strip())

    def asks_the_database(self, request: HTTPConnection) -> bool:
        """Whether this request's API key has to be looked up before anything is known about its sender."""
        text = request.headers.get("x-api-key")
        if text is None or hmac.compare_digest(text.encode(), self._settings.api_secret_key.encode()):
            return False
        known = self._known.get(_digest(text))
        return known is None or not self._is_fresh(known)

    async def person_with_expiry(self, token: str) -> tuple[Principal, float]:
        """The person whose access token this is, and when it expires (Unix seconds).

        Raises:
            Unauthenticated
        """
        who = await self._person(token)
        claims = verify_access_token(self._settings, token)
        if claims is None:
            raise Unauthenticated
        return who, claims.expires_at

    async def still_standing(self, people: set[Principal]) -> set[Principal]:
        """Those of them who are active, have their role and whose login has not ended."""
        if not people:
            return set()
        users = sa.select(col(User.id), col(User.role)).where(
            col(User.id).in_({person.id for person in people}), col(User.active)
        )
        families = sa.select(col(TokenFamily.id)).where(
            col(TokenFamily.id).in_({person.family for person in people if person.family}),
            col(TokenFamily.revoked_at).is_(None),
        )
        async with self._db.reading() as session:
            roles = {row.id: row.role for row in await session.execute(users)}
            living = set((await session.execute(families)).scalars())
        return {p for p in people if roles.get(p.id) == p.role and (p.family is None or p.family in living)}

    def forget_user(self, user_id: UUID) -> None:
        """Look at this user's tokens again at their next request to this process."""
        for digest in [d for d, known in self._known.items() if known.principal.id == user_id]:
            del self._known[digest]

    async def _machine(self, text: str) -> Principal:
        secret = self._settings.api_secret_key
        if secret and hmac.compare_digest(text.encode(), secret.encode()):
            return root_key()
        digest = _digest(text)
        known = self._known.get(digest)
        if known is not None and self._is_fresh(known):
            return known.principal
        self._known.pop(digest, None)
        presented = api_keys.parse_key(text)
        found = await self._look_at_key(presented) if presented else None
        if found is None:
            raise Unauthenticated
        principal, seconds_left = found
        self._remember(digest, _Known(principal, self._clock() + min(FRESH_SECONDS, seconds_left)))
        return principal

    async def _person(self, token: str) -> Principal:
        digest = _digest(token)
        known = self._known.get(digest)
        claims = known.claims if known is not None else None
        if claims is not None and claims.expires_at <= time.time():
            claims = None
        if known is not None and claims is not None and self._is_fresh(known):
            return known.principal
        self._known.pop(digest, None)
        claims = claims or verify_access_token(self._settings, token)
        principal = await self._look_at_user(claims) if claims else None
        if principal is None:
            raise Unauthenticated
        self._remember(digest, _Known(principal, self._clock() + FRESH_SECONDS, claims))
        return principal

    def _is_fresh(self, known: _Known) -> bool:
        return self._clock() < known.fresh_until

    def _remember(self, digest: bytes, known: _Known) -> None:
        self._known[digest] = known
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _look_at_user(self, claims: AccessClaims) -> Principal | None:
        """The user as it is now; None if gone, inactive, logged out, or its role is no longer the token's."""
        asked = {"user_id": claims.user_id, "family": claims.family}
        async with self._db.fast.connection() as connection:
            row = await (await connection.execute(_LIVING_USER, asked)).fetchone()
        if row is None or row["role"] != claims.role:
            return None
        return person(claims.user_id, row["email"], row["role"], claims.family)

    async def _look_at_key(self, presented: api_keys.PresentedKey) -> tuple[Principal, float] | None:
        """The key as it is now, and for how many seconds it is good; None if it is gone, expired or the secret is
        another. Notes that it was used."""
        living = (
            col(ApiKey.id) == presented.id,
            sa.or_(col(ApiKey.expires_at).is_(None), col(ApiKey.expires_at) > sa.func.now()),
        )
        async with self._db.sessions() as session, session.begin():
            found = (await session.execute(sa.select(ApiKey, sa.func.now()).where(*living))).first()
            if found is None:
                return None
            row, now = found
            fits, outdated = api_keys.matches(self._settings, presented.secret, row.secret_hash)
            if not fits:
                return None
            used = sa.update(ApiKey).where(*living).values(last_used_at=sa.func.now())
            if outdated:
                used = used.values(secret_hash=api_keys.hash_secret(self._settings, presented.secret))
            await session.execute(used)
            seconds_left = (row.expires_at - now).total_seconds() if row.expires_at else FRESH_SECONDS
            return machine(row.id, row.scopes), seconds_left


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
