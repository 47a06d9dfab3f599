"""How often somebody may try to log in: by address, and by account.

Moving windows of the `limits` library, counted in Redis for all API processes together. While Redis is away each
process counts for itself, in fixed windows: the library's moving window in memory starts a thread hop for each key at
each try.
"""

import hashlib
import time
from ipaddress import ip_address, ip_network
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter

from contactship_common.errors import TooManyRequests
from contactship_common.redis_edge import RedisEdge
from contactship_common.settings import ApiSettings

_ACCOUNT_MINUTES = 15
_ADDRESSES_AN_ACCOUNT = 10
"""An account takes the failures of this many addresses; then it is closed to addresses that are new to it."""
_KNOWN_SECONDS = 30 * 86_400
_IPV6_NETWORK_BITS = 64


class LoginLimits:
    """Tries to log in.

    A try counts before its password is checked, so that parallel guesses cannot slip past the limit; a good login
    takes back what its account has counted from this address. Nobody can lock out somebody else for good: the limit
    of an account counts each address by itself, and the limit over all addresses does not hold where the account has
    logged in from within the last 30 days.
    """

    def __init__(self, settings: ApiSettings, redis: RedisEdge) -> None:
        per_account = settings.login_limit_per_account
        self._of_address = RateLimitItemPerMinute(settings.login_limit_per_address)
        self._of_pair = RateLimitItemPerMinute(per_account, _ACCOUNT_MINUTES)
        self._of_account = RateLimitItemPerMinute(per_account * _ADDRESSES_AN_ACCOUNT, _ACCOUNT_MINUTES)
        self._of_codes = RateLimitItemPerMinute(settings.otp_verify_limit_per_address)
        self._redis = redis
        self._memory = FixedWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        if redis.client is not None:
            pool: Any = redis.client.connection_pool  # the process's own; `limits` names no type for it
            self._shared = MovingWindowRateLimiter(
                RedisStorage("async+redis://", implementation="redispy", key_prefix="cs:login", connection_pool=pool)
            )

    async def check_address(self, ip: str) -> None:
        """Count one try from this address.

        Raises:
            TooManyRequests: more than `LOGIN_LIMIT_PER_ADDRESS` within a minute.
        """
        await self._hit(self._of_address, "address", network_of(ip))

    async def check_code(self, ip: str) -> None:
        """Count one guess of a one-time code from this address.

        Raises:
            TooManyRequests: more than `OTP_VERIFY_LIMIT_PER_ADDRESS` within a minute.
        """
        await self._hit(self._of_codes, "address", "otp", network_of(ip))

    async def check_account(self, ip: str, account: str) -> None:
        """Count one try on this account.

        Raises:
            TooManyRequests: more than `LOGIN_LIMIT_PER_ACCOUNT` failures from this address within a quarter of an
                hour, or ten times that from addresses which the account does not know.
        """
        await self._hit(self._of_pair, "account", network_of(ip), _digest(account))
        key = _known_key(ip, account)
        if not await self._redis.attempt("login_limit", lambda client: client.exists(key)):
            await self._hit(self._of_account, "account", _digest(account))

    async def succeeded(self, ip: str, account: str) -> None:
        """Forget the failures of this account from this address, and remember that the account knows it."""
        identifiers = ("account", network_of(ip), _digest(account))
        await self._memory.clear(self._of_pair, *identifiers)
        shared, key = self._shared, _known_key(ip, account)
        if shared is not None:
            await self._redis.attempt("login_limit", lambda _: shared.clear(self._of_pair, *identifiers))
            await self._redis.attempt("login_limit", lambda client: client.set(key, b"", ex=_KNOWN_SECONDS))

    async def _hit(self, item: RateLimitItem, *key: str) -> None:
        shared, passed = self._shared, None
        if shared is not None:
            passed = await self._redis.attempt("login_limit", lambda _: shared.hit(item, *key))
        if passed is None:
            passed = await self._memory.hit(item, *key)
        if not passed:
            raise TooManyRequests(await self._seconds_left(item, *key), f"Too many tries: the limit of this {key[0]}")

    async def _seconds_left(self, item: RateLimitItem, *key: str) -> int:
        """Until the next try may pass."""
        shared, stats = self._shared, None
        if shared is not None:
            stats = await self._redis.attempt("login_limit", lambda _: shared.get_window_stats(item, *key))
        if stats is None:
            stats = await self._memory.get_window_stats(item, *key)
        return int(stats.reset_time - time.time()) + 1


def network_of(ip: str) -> str:
    """What one subscriber has: an IPv4 address, or a /64 network of IPv6 addresses."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    mapped = getattr(address, "ipv4_mapped", None)
    if address.version == 4 or mapped:
        return str(mapped or address)
    return str(ip_network((address, _IPV6_NETWORK_BITS), strict=False).network_address)


def _digest(account: str) -> str:
    return hashlib.blake2b(account.encode(), digest_size=16).hexdigest()


def _known_key(ip: str, account: str) -> str:
    return f"cs:login:known:{_digest(account)}:{network_of(ip)}"
