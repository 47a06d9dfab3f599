"""Idempotency-Key: the finished answer is kept in the transaction of its effect, so the two cannot disagree.

"In progress" is an advisory lock of that transaction: a crash leaves no marker behind. Authorisation comes before
replay, because the route checks it before this code runs.
"""

import hashlib
import hmac
import re

import sqlalchemy as sa
from fastapi import Request
from sqlalchemy.dialects.postgresql import insert
from starlette.responses import Response

from contactship_api.http.problems import (
    BadIdempotencyKey,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    problem,
)
from contactship_common.errors import ContactshipError
from contactship_common.models import IdempotencyRecord
from contactship_common.uow import UnitOfWork

_KEPT_HEADERS = ("location", "etag", "retry-after", "content-type")
_SANE_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def _is_over(row: IdempotencyRecord, ttl_seconds: int) -> sa.Select[tuple[bool]]:
    return sa.select(sa.literal(row.created_at) < sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, ttl_seconds))


class Replay(Exception):
    """The answer is known already; carried past the endpoint to the route."""

    def __init__(self, response: Response) -> None:
        super().__init__("replayed")
        self.response = response


class IdempotentRequest:
    """One POST with an Idempotency-Key."""

    def __init__(self, request: Request, caller: str, key: str, request_hash: bytes) -> None:
        self._request = request
        self._caller = caller
        self._key = key
        self._hash = request_hash

    @classmethod
    async def of(cls, request: Request, caller: str) -> "IdempotentRequest | None":
        """The request's key, scoped to the caller; None without the header.

        Raises:
            BadIdempotencyKey: the header is empty, too long or not visible ASCII.
        """
        key = request.headers.get("idempotency-key")
        if key is None or request.method != "POST":
            return None
        if not _SANE_KEY.fullmatch(key):
            raise BadIdempotencyKey
        parts = (request.url.path.encode(), request.url.query.encode(), await request.body())
        # Keyed: a body may hold a password, and a plain hash of it could be guessed at from a stolen table.
        secret: str = request.app.state.gateway.settings.jwt_secret
        hashed = b"".join(hashlib.sha256(part).digest() for part in parts)
        digest = hmac.digest(secret.encode(), b"idempotency" + hashed, hashlib.sha256)
        return cls(request, caller, key, digest)

    async def begin(self, uow: UnitOfWork) -> None:
        """Take the lock, or end the request.

        Raises:
            Replay: the same request was answered within the last 24 hours.
            IdempotencyKeyReused: another request was.
            IdempotencyInProgress: it is being worked on right now.
        """
        if not await self._lock(uow):
            raise IdempotencyInProgress
        row = await uow.session.get(IdempotencyRecord, (self._caller, self._key))
        if row is None:
            return
        if await uow.session.scalar(_is_over(row, uow.runtime.settings.idempotency_ttl)):
            # Not yet swept away; the new answer takes its place.
            await uow.session.delete(row)
            await uow.session.flush()
            return
        if row.request_hash != self._hash:
            raise IdempotencyKeyReused
        headers = {**row.headers, "Idempotent-Replayed": "true"}
        raise Replay(Response(row.body, status_code=row.status, headers=headers))

    async def keep(self, uow: UnitOfWork) -> None:
        """Store the finished answer in the same transaction as its effect."""
        response: Response = self._request.state.response
        await self._store(uow, response)

    async def keep_refusal(self, uow: UnitOfWork, error: ContactshipError) -> None:
        """Store a 4xx, in a transaction of its own after the rollback. Rate limits and 5xx are not kept."""
        own = isinstance(error, IdempotencyInProgress | IdempotencyKeyReused)
        if own or error.status >= 500 or error.status == 429:
            return
        if await self._lock(uow):
            await self._store(uow, problem(self._request, error))

    async def _lock(self, uow: UnitOfWork) -> bool:
        name = hashlib.blake2b(f"{self._caller}\x00{self._key}".encode(), digest_size=8).digest()
        number = int.from_bytes(name, "big", signed=True)
        return bool((await uow.session.execute(sa.select(sa.func.pg_try_advisory_xact_lock(number)))).scalar())

    async def _store(self, uow: UnitOfWork, response: Response) -> None:
        kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        row = insert(IdempotencyRecord).values(
            caller=self._caller,
            key=self._key,
            request_hash=self._hash,
            status=response.status_code,
            headers=kept,
            body=bytes(response.body),
        )
        await uow.session.execute(row.on_conflict_do_nothing())
