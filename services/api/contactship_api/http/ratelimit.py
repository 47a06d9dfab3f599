"""How many requests a caller may make, counted in Redis and shared by all API processes.

A fixed window, counted in the same pipeline as whatever else the request needs from Redis: one round trip decides
both. Logins have stricter limits besides, see `login_limits`.
"""

import time
from dataclasses import dataclass
from typing import Any

from contactship_api.access.permissions import Principal
from contactship_common import metrics
from contactship_common.redis_together import Command, Together
from contactship_common.settings import ApiSettings

MISSING = object()
"""What a lookup has found where Redis could not be asked."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What the RateLimit-* headers say."""

    limit: int
    remaining: int
    reset_seconds: int
    exceeded: bool


@dataclass(frozen=True, slots=True)
class Counted:
    """A request that was counted before its route was known: its caller, and what counting has found."""

    principal: Principal
    rate: Rate | None
    cached: Any


async def count_request(
    redis: Together, settings: ApiSettings, caller: str, lookup: str | None
) -> tuple[Rate | None, Any]:
    """Count one request of `caller` and read the key `lookup` in one round trip.

    Redis away: (None, MISSING), and the request passes.
    """
    limit, ttl = settings.rate_limit_max, settings.rate_limit_ttl
    if limit == 0 and lookup is None:
        return None, MISSING
    now = time.time()
    window = int(now // ttl)
    commands: list[Command] = []
    if limit:
        key = f"cs:rate:{caller}:{window}"
        commands = [("INCR", key), ("EXPIRE", key, ttl * 2)]
    if lookup is not None:
        commands.append(("GET", lookup))
    found = await redis.ask(*commands)
    if found is None:
        metrics.RATE_LIMIT_OPEN.inc()
        return None, MISSING
    value = found[-1] if lookup is not None else MISSING
    if not limit:
        return None, value
    used = int(found[0])
    rate = Rate(limit, max(0, limit - used), max(1, int((window + 1) * ttl - now)), used > limit)
    return rate, value
