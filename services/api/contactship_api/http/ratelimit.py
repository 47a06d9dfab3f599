"""How many requests a caller may make, counted in Redis and shared by all API processes.

The general limit is a fixed window counted in the same pipeline as whatever else the request needs from Redis: one
round trip decides both. Logins have stricter limits, which are counted in memory while Redis is away.
"""

import hashlib
import time
from dataclasses import dataclass
from typing import Any

from contactship_common import metrics
from contactship_common.errors import TooManyRequests
from contactship_common.redis_edge import RedisEdge
from contactship_common.settings import ApiSettings

_ADDRESS_SECONDS = 60
_ACCOUNT_SECONDS = 900
_REMEMBERED = 10_000

MISSING = object()
"""What a lookup has found where Redis could not be asked."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What the RateLimit-* headers say."""

    limit: int
    remaining: int
    reset_seconds: int
    exceeded: bool


async def count_request(
    redis: RedisEdge, settings: ApiSettings, caller: str, lookup: str | None
) -> tuple[Rate | None, Any]:
    """Count one request of `caller` and read the key `lookup` in one round trip.

    Redis away: (None, MISSING), and the request passes.
    """
    limit, ttl = settings.rate_limit_max, settings.rate_limit_ttl
    if limit == 0 and lookup is None:
        return None, MISSING
    now = time.time()
    window = int(now // ttl)
    key = f"cs:rate:{caller}:{window}"

    async def ask(client: Any) -> list[Any]:
        async with client.pipeline(transaction=False) as pipe:
            if limit:
                pipe.incr(key)
                pipe.expire(key, ttl * 2)
            if lookup is not None:
                pipe.get(lookup)
            return list(await pipe.execute())

    found = await redis.attempt("rate_limit", ask)
    if found is None:
        metrics.RATE_LIMIT_OPEN.inc()
        return None, MISSING
    value = found[-1] if lookup is not None else MISSING
    if not limit:
        return None, value
    used = int(found[0])
    rate = Rate(limit, max(0, limit - used), max(1, int((window + 1) * ttl - now)), used > limit)
    return rate, value


class LoginLimits:
    """Tries to log in, by address and by account.

    An account is counted together with the address, so that a stranger who guesses at somebody's account locks out
    only themselves. A try counts before its password is checked, so that parallel guesses cannot slip past the limit;
    a good login takes its account's count back.
    """

    def __init__(self, settings: ApiSettings, redis: RedisEdge) -> None:
        self._settings = settings
        self._redis = redis
        self._memory: dict[str, tuple[int, float]] = {}

    async def check_address(self, ip: str) -> None:
        """Count one try from this address.

        Raises:
            TooManyRequests: more than `LOGIN_LIMIT_PER_ADDRESS` within a minute.
        """
        await self._check(_address_key(ip), self._settings.login_limit_per_address, _ADDRESS_SECONDS, "address")

    async def check_account(self, ip: str, account: str) -> None:
        """Count one try on this account.

        Raises:
            TooManyRequests: more than `LOGIN_LIMIT_PER_ACCOUNT` failures from this address within a quarter of an
                hour.
        """
        limit = self._settings.login_limit_per_account
        await self._check(_account_key(ip, account), limit, _ACCOUNT_SECONDS, "account")

    async def succeeded(self, ip: str, account: str) -> None:
        """Forget the failures of this account from this address."""
        key = _account_key(ip, account)
        self._memory.pop(key, None)
        await self._redis.attempt("login_limit", lambda client: client.delete(key))

    async def _check(self, key: str, limit: int, seconds: int, what: str) -> None:
        async def hit(client: Any) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(key, 0, ex=seconds, nx=True)
                pipe.incr(key)
                pipe.ttl(key)
                return list(await pipe.execute())

        found = await self._redis.attempt("login_limit", hit)
        used, left = (int(found[1]), int(found[2])) if found is not None else self._hit_memory(key, seconds)
        if used > limit:
            raise TooManyRequests(left, f"Too many logins: the limit of this {what} is reached")

    def _hit_memory(self, key: str, seconds: int) -> tuple[int, int]:
        """The same count for this process alone, while Redis is away."""
        now = time.monotonic()
        if len(self._memory) >= _REMEMBERED:
            self._memory = {name: entry for name, entry in self._memory.items() if entry[1] > now}
        used, ends_at = self._memory.get(key, (0, 0.0))
        if ends_at <= now:
            used, ends_at = 0, now + seconds
        self._memory[key] = (used + 1, ends_at)
        return used + 1, max(1, int(ends_at - now))


def _address_key(ip: str) -> str:
    return f"cs:login:{ip}"


def _account_key(ip: str, account: str) -> str:
    return f"cs:login:{ip}:{hashlib.blake2b(account.encode(), digest_size=16).hexdigest()}"
