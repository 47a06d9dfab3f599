"""How many requests a caller may make, counted in Redis and shared by all API processes.

The general limit is a fixed window counted in the same pipeline as whatever else the request needs from Redis: one
round trip decides both. The stricter limits on logins use the `limits` library, with a fallback in memory.
"""

import time
from dataclasses import dataclass
from typing import Any

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

from contactship_common import metrics
from contactship_common.errors import TooManyRequests
from contactship_common.redis_edge import RedisEdge
from contactship_common.settings import ApiSettings

log = structlog.get_logger()

MISSING = object()
"""`Counted.looked_up` where nothing could be asked."""


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
    only themselves.
    """

    def __init__(self, settings: ApiSettings, redis_url: str) -> None:
        self._settings = settings
        self._memory = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        if redis_url:
            self._shared = MovingWindowRateLimiter(
                RedisStorage(
                    f"async+{redis_url}", implementation="redispy", socket_timeout=0.25, socket_connect_timeout=0.25
                )
            )

    async def _hit(self, item: RateLimitItemPerMinute, *key: str) -> bool:
        if self._shared is not None:
            try:
                return await self._shared.hit(item, *key)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("login_limit.in_memory", error=type(error).__name__)
        return await self._memory.hit(item, *key)

    async def check_address(self, ip: str) -> None:
        """Count one try from this address.

        Raises:
            TooManyRequests: more than `LOGIN_LIMIT_PER_ADDRESS` within a minute.
        """
        if not await self._hit(RateLimitItemPerMinute(self._settings.login_limit_per_address), "login-ip", ip):
            raise TooManyRequests(60, "Too many logins from this address")

    async def check_account(self, ip: str, email: str) -> None:
        """Count one try on this account.

        Raises:
            TooManyRequests: more than `LOGIN_LIMIT_PER_ACCOUNT` within a quarter of an hour from this address.
        """
        item = RateLimitItemPerMinute(self._settings.login_limit_per_account, 15)
        if not await self._hit(item, "login-account", ip, email):
            raise TooManyRequests(900, "Too many logins on this account")
