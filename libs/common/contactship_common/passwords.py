"""Argon2id password hashes, computed in a thread and never more than a few at once.

A hash takes 64 MiB and tens of milliseconds; unbounded, a burst of logins would take the machine with it.
"""

import asyncio
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE = 2
_hasher = PasswordHasher()
_gate: asyncio.Semaphore | None = None
_gate_loop: asyncio.AbstractEventLoop | None = None


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


def _semaphore() -> asyncio.Semaphore:
    global _gate, _gate_loop
    loop = asyncio.get_running_loop()
    if _gate is None or _gate_loop is not loop:
        _gate, _gate_loop = asyncio.Semaphore(_AT_ONCE), loop
    return _gate


async def hash_password(password: str) -> str:
    async with _semaphore():
        return await asyncio.to_thread(hash_now, password)


async def verify_password(password: str, stored: str | None) -> tuple[bool, str | None]:
    """Whether the password fits, and a new hash to store where the parameters have moved on.

    `stored` None (no such account) costs the same time as a wrong password.
    """
    async with _semaphore():
        return await asyncio.to_thread(_verify, password, stored)


async def warm_up() -> None:
    """Compute the stand-in hash once, so that the first unknown e-mail takes no longer than the next."""
    await asyncio.to_thread(_nobody)
