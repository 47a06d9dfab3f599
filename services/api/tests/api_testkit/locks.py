"""Waiting until a request meets somebody else's lock."""

from contactship_devstack.polling import until
from contactship_devstack.testing import Sql

_WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def until_blocked(sql: Sql, what: str) -> None:
    """Until a session of this test's database waits for a lock; `what` is expected to."""
    await until(lambda: sql(_WAITING), what)
