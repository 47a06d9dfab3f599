"""Codes that nobody tried in time: they show as EXPIRED, and their interaction as ABANDONED since then.

Nothing waits for it: a code is judged by its `expires_at`, and a new one replaces it either way.
"""

import asyncio

from contactship_common.periodic import periodically
from contactship_common.runtime import Runtime

_EVERY_SECONDS = 30.0
_BATCH = 1_000

# The partial index of live codes holds few rows. Several schedulers may do this at once.
_EXPIRE = b"""
WITH due AS (
     SELECT id, interaction_id, expires_at FROM otp_challenges
      WHERE status IN ('PENDING', 'SENT') AND expires_at < clock_timestamp()
      LIMIT %(batch)s FOR UPDATE SKIP LOCKED),
 expired AS (
     UPDATE otp_challenges SET status = 'EXPIRED', updated_at = clock_timestamp() FROM due
      WHERE otp_challenges.id = due.id
  RETURNING otp_challenges.id),
 ended AS (
     UPDATE interactions SET status = 'ABANDONED', ended_at = due.expires_at, updated_at = clock_timestamp() FROM due
      WHERE interactions.id = due.interaction_id AND interactions.status IN ('NEW', 'IN_PROGRESS')
  RETURNING interactions.id)
SELECT count(*) AS n FROM expired
"""


class OtpExpiry:
    """Sweeps every half minute, in bounded steps."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def sweep(self) -> int:
        """End every code that is due; returns how many."""
        total = 0
        while True:
            async with self.runtime.db.fast.connection() as connection:
                row = await (await connection.execute(_EXPIRE, {"batch": _BATCH})).fetchone()
            expired = int(row["n"]) if row else 0
            total += expired
            if expired < _BATCH:
                return total

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set."""
        await periodically("otp_expiry", self.sweep, every_seconds=_EVERY_SECONDS, stop=stop)
