"""Argon2id password hashes, computed in a few threads of their own.

A hash takes 64 MiB and a tenth of a second of one core; unbounded, a burst of logins would take the machine with it.
At most half of the cores hash, so the event loop keeps answering meanwhile; who comes later waits.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# The library's own 64 MiB and three passes, but one lane: its four would be four threads for each hash.
_hasher = PasswordHasher(parallelism=1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


AT_ONCE = max(1, _cores() // 2)
# Threads and not a semaphore: a request that is cancelled leaves its thread computing, and that still has to count.
_threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")


def hash_now(password: str) -> str:
    """Hash on the calling thread; for scripts and start-up."""
    return _hasher.hash(password)


@lru_cache(maxsize=1)
def _nobody() -> str:
    return _hasher.hash("nobody has this password")


def _verify(password: str, stored: str | None) -> tuple[bool, str | None]:
    try:
        _hasher.verify(stored or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False, None
    if stored is None:
        return False, None
    return True, _hasher.hash(password) if _hasher.check_needs_rehash(stored) else None


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, hash_now, password)


async def verify_password(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Whether the password fits, and a new hash to store where the parameters have moved on.

    `stored` None (no such account) costs the same time as a wrong password.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, password, stored)


async def warm_up() -> None:
    """Compute the stand-in hash once, so that the first unknown e-mail takes no longer than the next."""
    await asyncio.get_running_loop().run_in_executor(_threads, _nobody)
