"""Deleting what is no longer needed: old idempotency answers, finished tasks, old codes, silent workers."""

import asyncio

import structlog

from contactship_common.periodic import periodically
from contactship_common.runtime import Runtime

log = structlog.get_logger()

_EVERY_SECONDS = 600.0
_BATCH = 5_000

# Several schedulers may do this at once; each statement deletes a bounded number of rows and skips locked ones.
_STATEMENTS = {
    "idempotency_keys": """
        DELETE FROM idempotency_keys WHERE ctid IN (
            SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(secs => %(keys)s)
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    "tasks": """
        DELETE FROM tasks WHERE id IN (
            SELECT id FROM tasks WHERE finished_at < now() - make_interval(days => %(days)s)
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    # Their attempts go with them.
    "outbound_deliveries": """
        DELETE FROM outbound_deliveries WHERE id IN (
            SELECT id FROM outbound_deliveries WHERE finished_at < now() - make_interval(days => %(days)s)
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    "batches": """
        DELETE FROM batches WHERE id IN (
            SELECT id FROM batches WHERE created_at < now() - make_interval(days => %(days)s)
               AND NOT EXISTS (SELECT 1 FROM batch_items WHERE batch_id = batches.id)
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    # Uploads that broke off with the process that received them; a running one takes minutes.
    "lead_imports": """
        DELETE FROM lead_imports WHERE id IN (
            SELECT id FROM lead_imports WHERE task_id IS NULL AND created_at < now() - interval '1 day'
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    # An import deletes its pieces at its end, but nobody does for one that is cancelled.
    "lead_import_pieces": """
        DELETE FROM lead_import_pieces WHERE (import_id, number) IN (
            SELECT pieces.import_id, pieces.number FROM lead_import_pieces pieces
              JOIN lead_imports ON lead_imports.id = pieces.import_id JOIN tasks ON tasks.id = lead_imports.task_id
             WHERE tasks.status = 'cancelled'
             LIMIT %(batch)s)""",
    # Ended logins are kept a while, so that a stolen token that comes late is still known as one.
    "token_families": """
        DELETE FROM token_families WHERE id IN (
            SELECT id FROM token_families WHERE expires_at < now() - interval '30 days'
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    # Their sendings go with them; the interaction stays in the customer's history.
    "otp_challenges": """
        DELETE FROM otp_challenges WHERE id IN (
            SELECT id FROM otp_challenges WHERE created_at < now() - make_interval(days => %(days)s)
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    # A window lasts a day at most, and `days` is at least one: none of these still limits anybody.
    "otp_limits": """
        DELETE FROM otp_limits WHERE (phone_e164, purpose) IN (
            SELECT phone_e164, purpose FROM otp_limits
             WHERE window_started_at < now() - make_interval(days => %(days)s)
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    # A handled webhook keeps its key for good, so that it is known when it comes again; its body goes. Not looked for
    # further back than a month before that: those are empty already.
    "webhook_inbox": """
        UPDATE webhook_inbox SET body = NULL WHERE id IN (
            SELECT id FROM webhook_inbox
             WHERE handled_at < now() - make_interval(days => %(inbox)s)
               AND handled_at > now() - make_interval(days => %(inbox)s + 31) AND body IS NOT NULL
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    # One that could not be understood in all that time keeps its reason; one that nobody looked at yet keeps all.
    "webhook_inbox_unhandled": """
        UPDATE webhook_inbox SET body = NULL WHERE id IN (
            SELECT id FROM webhook_inbox
             WHERE handled_at IS NULL AND error ->> 'code' IS NOT NULL
               AND received_at < now() - make_interval(days => %(inbox)s) AND body IS NOT NULL
             LIMIT %(batch)s FOR UPDATE SKIP LOCKED)""",
    "worker_heartbeats": "DELETE FROM worker_heartbeats WHERE seen_at < now() - interval '1 day'",
}


class Retention:
    """Sweeps every ten minutes, in bounded steps."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def sweep(self) -> dict[str, int]:
        """Delete everything that is due; returns how many rows went from each table."""
        settings = self.runtime.settings
        parameters = {
            "keys": settings.idempotency_ttl,
            "days": settings.task_retention_days,
            "inbox": settings.inbox_retention_days,
            "batch": _BATCH,
        }
        gone = dict.fromkeys(_STATEMENTS, 0)
        for table, statement in _STATEMENTS.items():
            while True:
                async with self.runtime.db.fast.connection() as connection:
                    deleted = (await connection.execute(statement.encode(), parameters)).rowcount
                gone[table] += deleted
                if deleted < _BATCH:
                    break
        if any(gone.values()):
            log.info("retention.swept", **gone)
        return gone

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until `stop` is set."""
        await periodically("retention", self.sweep, every_seconds=_EVERY_SECONDS, stop=stop)
